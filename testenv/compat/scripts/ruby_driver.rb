# ruby-pg: libpq, with its pipeline mode. Prints one JSON line per step.
require "json"
require "pg"

TABLE = ENV.fetch("COMPAT_TABLE")
LARGE = 10 << 20
ROWS = (0...1000).map { |i| "#{i}\trow #{i}\n" }.join
SLEEPING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE '%pg_sleep%#{TABLE}%' AND pid <> pg_backend_pid()"
$stdout.sync = true

def report(step, status, detail)
  puts JSON.generate(step: step, status: status, detail: detail.to_s.strip)
end

def connect
  conn = PG.connect
  conn.set_notice_processor { |_| }
  return conn unless block_given?
  begin
    yield conn
  ensure
    conn.close
  end
end

def expect(got, want)
  raise "got #{got.to_s[0, 100]}, want #{want.to_s[0, 100]}" unless got == want
end

def fails(conn, sql, code)
  conn.exec(sql)
rescue PG::Error => e
  expect(e.result.error_field(PG::PG_DIAG_SQLSTATE), code)
else
  raise "#{sql} succeeded"
end

STEPS = {
  simple: -> { connect { |c| expect(c.exec("SELECT 1 + 1").getvalue(0, 0), "2") } },
  parameters: -> { connect { |c| expect(c.exec_params("SELECT $1::int + $2::int", [40, 2]).getvalue(0, 0), "42") } },
  prepared: lambda {
    connect do |c|
      c.prepare("compat", "SELECT $1::int * 2")
      [1, 2].each { |i| expect(c.exec_prepared("compat", [i]).getvalue(0, 0), (i * 2).to_s) }
    end
  },
  transaction: lambda {
    connect do |c|
      c.exec("DROP TABLE IF EXISTS #{TABLE}")
      c.exec("CREATE TABLE #{TABLE} (id int, name text)")
      c.exec("BEGIN")
      c.exec("INSERT INTO #{TABLE} VALUES (1, 'lost')")
      fails(c, "SELECT 1/0", "22012")
      fails(c, "SELECT 1", "25P02")
      c.exec("ROLLBACK")
      c.transaction { |t| t.exec("INSERT INTO #{TABLE} VALUES (2, 'kept')") }
      expect(c.exec("SELECT string_agg(name, ',') FROM #{TABLE}").getvalue(0, 0), "kept")
    end
  },
  copy_in: lambda {
    connect do |c|
      c.exec("TRUNCATE #{TABLE}")
      c.copy_data("COPY #{TABLE} FROM STDIN") { ROWS.each_line { |line| c.put_copy_data(line) } }
      expect(c.exec("SELECT count(*) FROM #{TABLE}").getvalue(0, 0), "1000")
    end
  },
  copy_out: lambda {
    connect do |c|
      out = +""
      c.copy_data("COPY (SELECT * FROM #{TABLE} ORDER BY id) TO STDOUT") do
        while (row = c.get_copy_data)
          out << row
        end
      end
      expect(out, ROWS)
    end
  },
  large: lambda {
    value = "x" * LARGE
    connect { |c| expect(c.exec_params("SELECT $1::text", [value]).getvalue(0, 0), value) }
  },
  cancel: lambda {
    connect do |c|
      connect do |other|
        stop = Thread.new do
          deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 20
          until other.exec(SLEEPING).getvalue(0, 0) == "1"
            raise "waited 20 s for the query to run" if Process.clock_gettime(Process::CLOCK_MONOTONIC) > deadline
            sleep 0.01
          end
          c.cancel
        end
        fails(c, "SELECT pg_sleep(30) /* cancel #{TABLE} */", "57014")
        stop.join
        expect(c.exec("SELECT 1").getvalue(0, 0), "1")
      end
    end
  },
  notify: lambda {
    connect do |c|
      connect do |other|
        c.exec("LISTEN compat_#{TABLE}")
        other.exec("NOTIFY compat_#{TABLE}, 'hello'")
        heard = nil
        c.wait_for_notify(20) { |_channel, _pid, payload| heard = payload }
        expect(heard, "hello")
      end
    end
  },
  pipeline: lambda {
    connect do |c|
      c.enter_pipeline_mode
      (0...50).each { |i| c.send_query_params("SELECT $1::int", [i]) }
      c.pipeline_sync
      (0...50).each do |i|
        expect(c.get_result.getvalue(0, 0), i.to_s)
        expect(c.get_result, nil)
      end
      expect(c.get_result.result_status, PG::PGRES_PIPELINE_SYNC)
      c.exit_pipeline_mode
      expect(c.exec("SELECT 1").getvalue(0, 0), "1")
    end
    "50 queries"
  },
}.freeze

library = PG.library_version
puts JSON.generate(driver: "ruby-pg", version: PG::VERSION, library: "libpq #{library / 10_000}.#{library % 10_000}")
if ENV["COMPAT_REFUSED"]
  begin
    connect.close
    report("refused", "fail", "the login succeeded")
  rescue PG::Error => e
    report("refused", "ok", e.message)
  end
  exit
end
STEPS.each do |name, step|
  detail = step.call
  report(name, "ok", detail.is_a?(String) ? detail : "")
rescue StandardError => e
  report(name, "fail", "#{e.class}: #{e.message}")
end
