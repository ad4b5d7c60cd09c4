package fakepg

// Trace is an exchange as PostgreSQL 15 was seen to hold it (wire-protocol section 2). A test can
// hold a real server to it, or have the fake one play it to the broker.
type Trace struct {
	Name  string
	Setup string   // SQL that has to run first, in another session; may run twice
	Begin []string // queries that have to run first in this session
	Steps []Step
}

// Step is what the client sends and all that the server answers, in Messages' notation. EOF as the
// last word: the server closes.
type Step struct {
	Send   []byte
	Notify string // SQL that another session runs instead of Send
	Want   string
}

// extended is Parse, Bind and Execute of one unnamed statement.
func extended(sql string) []byte {
	return Sequence(Parse("", sql), Bind("", ""), Execute("", 0))
}

// Traces are all of section 2.
func Traces() []Trace {
	return []Trace{
		{
			Name: "error in a batch skips a Query up to Sync",
			Steps: []Step{
				{Send: Sequence(extended("select 1/0"), Query("select 1"), Sync()), Want: "1 E22012 ZI"},
			},
		},
		{
			Name: "Query inside an open batch owes its own Z",
			Steps: []Step{
				{Send: Sequence(extended("select 1"), Query("select 1"), Sync()), Want: "1 2 D C T D C ZI ZI"},
			},
		},
		{
			Name:  "error after an insert rolls it back",
			Setup: "drop table if exists trace_insert; create table trace_insert (n int)",
			Steps: []Step{
				{
					Send: Sequence(extended("insert into trace_insert values (1)"), Bind("", "nowhere"), Sync()),
					Want: "1 2 C=INSERT_0_1 E26000 ZI",
				},
				{Send: Query("select n from trace_insert"), Want: "T C=SELECT_0 ZI"},
			},
		},
		{
			Name: "error at Sync's commit skips nothing",
			Setup: "drop table if exists trace_deferred; create table trace_deferred " +
				"(n int unique deferrable initially deferred); insert into trace_deferred values (1)",
			Steps: []Step{
				{
					Send: Sequence(extended("insert into trace_deferred values (1)"), Sync(), Query("select 1")),
					Want: "1 2 C=INSERT_0_1 E23505 ZI T D C ZI",
				},
			},
		},
		{
			Name: "a portal outside a block dies at Sync",
			Steps: []Step{
				{
					Send: Sequence(Parse("", "select generate_series(1, 2)"), Bind("p", ""), Execute("p", 1), Sync()),
					Want: "1 2 D s ZI",
				},
				{Send: Sequence(Execute("p", 0), Sync()), Want: "E34000 ZI"},
			},
		},
		copyBadRow(), copyTrigger(),
		{
			Name:  "Query during COPY IN",
			Setup: "drop table if exists trace_query; create table trace_query (n int)",
			Steps: []Step{
				{Send: Query("copy trace_query from stdin"), Want: "G"},
				{Send: Query("select 1"), Want: "E08P01 F08P01 EOF"},
			},
		},
		{
			Name:  "SET LOCAL reports twice",
			Begin: []string{"begin"},
			Steps: []Step{
				{Send: Query("set local timezone = 'Asia/Tokyo'"), Want: "C=SET S=TimeZone=Asia/Tokyo ZT"},
				{Send: Query("commit"), Want: "C=COMMIT S=TimeZone=Etc/UTC ZI"},
			},
		},
		{
			Name:  "an error comes without Flush and Sync",
			Steps: []Step{{Send: Parse("", "selec"), Want: "E42601"}, {Send: Sync(), Want: "ZI"}},
		},
		{
			Name: "nothing else comes without Flush and Sync",
			Steps: []Step{
				{Send: extended("select 1")},
				{Send: Flush(), Want: "1 2 D C"},
				{Send: Sync(), Want: "ZI"},
			},
		},
		{
			Name:  "a notification waits for the end of the block",
			Begin: []string{"listen trace", "begin"},
			Steps: []Step{
				{Notify: "notify trace, 'x'"},
				{Send: Query("commit"), Want: "C=COMMIT A=trace=x ZI"},
			},
		},
	}
}

// copyBadRow and copyTrigger differ in who eats the first Sync (W57).
func copyBadRow() Trace {
	return Trace{
		Name:  "COPY IN eats the Sync before a bad row",
		Setup: "drop table if exists trace_copy; create table trace_copy (n int)",
		Steps: []Step{
			{Send: Sequence(extended("copy trace_copy from stdin"), Sync()), Want: "1 2 G"},
			{Send: Sequence(CopyData("x\n"), CopyDone(), Sync()), Want: "E22P02 ZI"},
		},
	}
}

func copyTrigger() Trace {
	return Trace{
		Name: "an error before COPY IN reads leaves the Sync alone",
		Setup: "drop table if exists trace_trigger; create table trace_trigger (n int); " +
			"create or replace function trace_trigger() returns trigger language plpgsql as " +
			"$$ begin raise exception 'no'; end $$; " +
			"create trigger t before insert on trace_trigger for each statement execute function trace_trigger()",
		Steps: []Step{
			{Send: Sequence(extended("copy trace_trigger from stdin"), Sync()), Want: "1 2 G EP0001 ZI"},
			{Send: Sequence(CopyData("1\n"), CopyDone(), Sync()), Want: "ZI"},
		},
	}
}

// Play answers a client that sends what the trace says. It begins after Login and Trace.Begin; what
// another session does is played too.
func (c *Conn) Play(t Trace) {
	for _, step := range t.Steps {
		c.Expect(types(step.Send))
		words, closes := cutEOF(step.Want)
		c.Reply(words)
		if closes {
			panic(over{})
		}
	}
}

func cutEOF(want string) (words string, closes bool) {
	if n := len(want) - len("EOF"); n >= 0 && want[n:] == "EOF" {
		return want[:n], true
	}
	return want, false
}
