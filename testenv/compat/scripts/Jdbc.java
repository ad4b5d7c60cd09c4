// pgjdbc: its own protocol code. Prints one JSON line per step. The server is that of the PG* variables,
// the client's certificate is COMPAT_P12; run with the driver on the class path.

import java.io.ByteArrayOutputStream;
import java.io.StringReader;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Properties;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;

public class Jdbc {
    static final String TABLE = System.getenv("COMPAT_TABLE");
    static final int ROWS = 1000;
    static final int LARGE = 10 << 20;

    interface Step {
        String run() throws Exception;
    }

    static String json(Object text) {
        StringBuilder b = new StringBuilder("\"");
        for (char c : String.valueOf(text).trim().toCharArray()) {
            if (c == '"' || c == '\\') b.append('\\').append(c);
            else if (c < ' ') b.append(' ');
            else b.append(c);
        }
        return b.append('"').toString();
    }

    static void report(String step, String status, Object detail) {
        System.out.println("{\"step\":" + json(step) + ",\"status\":\"" + status + "\",\"detail\":" + json(detail) + "}");
    }

    static void step(String name, Step step) {
        try {
            report(name, "ok", step.run());
        } catch (Exception | AssertionError e) {
            report(name, "fail", e);
        }
    }

    static Connection connect() throws SQLException {
        Properties p = new Properties();
        p.setProperty("user", System.getenv("PGUSER"));
        p.setProperty("sslmode", "verify-full");
        p.setProperty("sslrootcert", System.getenv("PGSSLROOTCERT"));
        p.setProperty("sslkey", System.getenv("COMPAT_P12"));
        p.setProperty("sslcert", ""); // none: not the one in the home folder
        p.setProperty("sslpassword", System.getenv("COMPAT_P12_PASSWORD"));
        p.setProperty("prepareThreshold", "1");
        p.setProperty("socketTimeout", "60");
        return DriverManager.getConnection("jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT")
            + "/" + System.getenv("PGDATABASE"), p);
    }

    static void expect(Object got, Object want) {
        if (!want.equals(got)) {
            String g = String.valueOf(got);
            String w = String.valueOf(want);
            throw new AssertionError("got " + g.substring(0, Math.min(100, g.length())) + ", want " + w.substring(0, Math.min(100, w.length())));
        }
    }

    static String one(Connection c, String sql) throws SQLException {
        try (Statement s = c.createStatement(); ResultSet r = s.executeQuery(sql)) {
            r.next();
            return r.getString(1);
        }
    }

    static void execute(Connection c, String sql) throws SQLException {
        try (Statement s = c.createStatement()) {
            s.execute(sql);
        }
    }

    static void fails(Connection c, String sql, String state) throws SQLException {
        try {
            execute(c, sql);
        } catch (SQLException e) {
            expect(e.getSQLState(), state);
            return;
        }
        throw new AssertionError(sql + " succeeded");
    }

    static String simple() throws Exception {
        try (Connection c = connect()) {
            expect(one(c, "SELECT 1 + 1"), "2");
        }
        return "";
    }

    static String parameters() throws Exception {
        try (Connection c = connect(); PreparedStatement s = c.prepareStatement("SELECT ?::int + ?::int")) {
            s.setInt(1, 40);
            s.setInt(2, 2);
            try (ResultSet r = s.executeQuery()) {
                r.next();
                expect(r.getInt(1), 42);
            }
        }
        return "";
    }

    static String prepared() throws Exception {
        try (Connection c = connect(); PreparedStatement s = c.prepareStatement("SELECT ?::int * 2")) {
            for (int i = 1; i <= 7; i++) { // from the first on by name, from the second on binary
                s.setInt(1, i);
                try (ResultSet r = s.executeQuery()) {
                    r.next();
                    expect(r.getInt(1), i * 2);
                }
            }
        }
        return "prepareThreshold=1";
    }

    static String transaction() throws Exception {
        try (Connection c = connect()) {
            execute(c, "DROP TABLE IF EXISTS " + TABLE);
            execute(c, "CREATE TABLE " + TABLE + " (id int, name text)");
            c.setAutoCommit(false);
            execute(c, "INSERT INTO " + TABLE + " VALUES (1, 'lost')");
            fails(c, "SELECT 1/0", "22012");
            fails(c, "SELECT 1", "25P02");
            c.rollback();
            execute(c, "INSERT INTO " + TABLE + " VALUES (2, 'kept')");
            c.commit();
            expect(one(c, "SELECT string_agg(name, ',') FROM " + TABLE), "kept");
            c.commit();
        }
        return "";
    }

    static String rows() {
        StringBuilder b = new StringBuilder();
        for (int i = 0; i < ROWS; i++) b.append(i).append("\trow ").append(i).append('\n');
        return b.toString();
    }

    static String copyIn() throws Exception {
        try (Connection c = connect()) {
            execute(c, "TRUNCATE " + TABLE);
            long n = c.unwrap(PGConnection.class).getCopyAPI().copyIn("COPY " + TABLE + " FROM STDIN", new StringReader(rows()));
            expect(n, (long) ROWS);
        }
        return "";
    }

    static String copyOut() throws Exception {
        ByteArrayOutputStream out = new ByteArrayOutputStream();
        try (Connection c = connect()) {
            c.unwrap(PGConnection.class).getCopyAPI().copyOut("COPY (SELECT * FROM " + TABLE + " ORDER BY id) TO STDOUT", out);
        }
        expect(out.toString(StandardCharsets.UTF_8), rows());
        return "";
    }

    static String large() throws Exception {
        String value = "x".repeat(LARGE);
        try (Connection c = connect(); PreparedStatement s = c.prepareStatement("SELECT ?::text")) {
            s.setString(1, value);
            try (ResultSet r = s.executeQuery()) {
                r.next();
                expect(r.getString(1), value);
            }
        }
        return "";
    }

    static String cancel() throws Exception {
        try (Connection c = connect(); Connection other = connect(); Statement s = c.createStatement()) {
            Thread stop = new Thread(() -> {
                try {
                    long deadline = System.nanoTime() + 20_000_000_000L;
                    while (!one(other, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE '%pg_sleep%"
                        + TABLE + "%' AND pid <> pg_backend_pid()").equals("1") && System.nanoTime() < deadline) {
                        Thread.sleep(10);
                    }
                    s.cancel();
                } catch (SQLException | InterruptedException e) {
                    report("cancel", "fail", e);
                }
            });
            stop.start();
            try {
                s.execute("SELECT pg_sleep(30) /* cancel " + TABLE + " */");
                throw new AssertionError("the query was not cancelled");
            } catch (SQLException e) {
                expect(e.getSQLState(), "57014");
            }
            stop.join();
            expect(one(c, "SELECT 1"), "1");
        }
        return "";
    }

    static String listen() throws Exception {
        try (Connection c = connect(); Connection other = connect()) {
            execute(c, "LISTEN compat_" + TABLE);
            execute(other, "NOTIFY compat_" + TABLE + ", 'hello'");
            PGNotification[] heard = c.unwrap(PGConnection.class).getNotifications(20_000);
            if (heard == null || heard.length == 0) throw new AssertionError("heard nothing for 20 s");
            expect(heard[0].getParameter(), "hello");
        }
        return "";
    }

    static String pipeline() throws Exception {
        try (Connection c = connect(); PreparedStatement s = c.prepareStatement("INSERT INTO " + TABLE + " VALUES (?, ?)")) {
            execute(c, "TRUNCATE " + TABLE);
            for (int i = 0; i < 500; i++) {
                s.setInt(1, i);
                s.setString(2, "row " + i);
                s.addBatch();
            }
            expect(s.executeBatch().length, 500);
            expect(one(c, "SELECT count(*) FROM " + TABLE), "500");
        }
        return "a batch of 500";
    }

    public static void main(String[] args) throws Exception {
        org.postgresql.Driver driver = new org.postgresql.Driver();
        System.out.println("{\"driver\":\"pgjdbc\",\"version\":" + json(org.postgresql.util.DriverInfo.DRIVER_VERSION)
            + ",\"library\":" + json("Java " + System.getProperty("java.version")) + "}");
        if (System.getenv("COMPAT_REFUSED") != null) {
            try (Connection c = connect()) {
                report("refused", "fail", "the login succeeded");
            } catch (SQLException e) {
                report("refused", "ok", e.getMessage() + " (SQLSTATE " + e.getSQLState() + ")");
            }
            return;
        }
        step("simple", Jdbc::simple);
        step("parameters", Jdbc::parameters);
        step("prepared", Jdbc::prepared);
        step("transaction", Jdbc::transaction);
        step("copy_in", Jdbc::copyIn);
        step("copy_out", Jdbc::copyOut);
        step("large", Jdbc::large);
        step("cancel", Jdbc::cancel);
        step("notify", Jdbc::listen);
        step("pipeline", Jdbc::pipeline);
    }
}
