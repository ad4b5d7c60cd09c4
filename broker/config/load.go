package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"

	"github.com/pgsignet/pgsignet/policy/hclfile"
)

// maxFile is the largest HCL file read, in bytes: ten thousand maps take about 4 MiB.
const maxFile = 32 << 20

// Source says what to load.
type Source struct {
	Paths []string  // files, or directories of *.hcl; read as one configuration
	Now   time.Time // for certificates and CRLs; zero: the clock

	LogLevel, AdminAddress Override // win over the files
}

// Override replaces a setting of the files, unless Value is "".
type Override struct {
	Value string
	From  string // for messages: the flag or environment variable
}

// Load reads the files and directories as one configuration. The Config is nil when Problems has
// errors; Problems is never nil.
func Load(paths []string) (*Config, *Problems) {
	return Source{Paths: paths}.Load()
}

// Load is the package's Load with a chosen time.
func (s Source) Load() (*Config, *Problems) {
	if s.Now.IsZero() {
		s.Now = time.Now()
	}
	d := &decoder{sources: map[string]*hcl.File{}, now: s.Now}
	cfg := d.load(s)
	problems := d.problems()
	if problems.HasErrors() {
		return nil, problems
	}
	return cfg, problems
}

// AdminSocket is admin.socket, or "" where the files name none or cannot be read that far. It wants nothing else of
// them to be valid: who steers a running broker may do so while its next configuration is being mended.
func (s Source) AdminSocket() string {
	d := &decoder{sources: map[string]*hcl.File{}, now: time.Now()}
	if cfg := d.load(s); cfg != nil {
		return cfg.Admin.Socket
	}
	return ""
}

// decoder turns files into a Config and collects everything that is wrong with them.
type decoder struct {
	sources map[string]*hcl.File // by name, for the lines that messages show
	now     time.Time
	diags   hcl.Diagnostics

	ruleSet *hclfile.RuleSet

	// Certificates by purpose, for what must be kept apart (T81).
	clientCAs, adminCAs, serverCAs, issuers []placed
}

// root is everything that may stand at the top of a file, rules aside.
type root struct {
	Node       *hcl.Attribute  `hcl:"node,optional"`
	RuntimeDir *hcl.Attribute  `hcl:"runtime_dir,optional"`
	Listeners  []listenerBlock `hcl:"listener,block"`
	Upstreams  []upstreamBlock `hcl:"upstream,block"`
	Databases  []databaseBlock `hcl:"database,block"`
	Audit      []auditBlock    `hcl:"audit,block"`
	Admin      []adminBlock    `hcl:"admin,block"`
	Log        []logBlock      `hcl:"log,block"`
	Shutdown   []shutdownBlock `hcl:"shutdown,block"`
	Rules      hcl.Body        `hcl:",remain"` // map, deny and test
}

type databaseBlock struct {
	Name        string         `hcl:"name,label"`
	Upstream    *hcl.Attribute `hcl:"upstream"`
	DBName      *hcl.Attribute `hcl:"dbname,optional"`
	IdentityKey *hcl.Attribute `hcl:"identity_key,optional"`
	DefRange    hcl.Range      `hcl:",def_range"`
}

func (d *decoder) load(s Source) *Config {
	cfg := &Config{}
	files := d.parse(s.Paths, cfg)
	if d.diags.HasErrors() {
		return nil
	}
	body := hcl.MergeFiles(files)
	var r root
	d.decode(body, &r)
	d.rules(d.topLevel(body), cfg)
	d.fill(&r, cfg)
	d.override(s, cfg)
	d.lint(&r, cfg)
	return cfg
}

// topLevel reports what does not belong at the top of a file, and returns the rule blocks.
func (d *decoder) topLevel(body hcl.Body) hcl.Blocks {
	schema, _ := gohcl.ImpliedBodySchema(root{})
	rules := hclfile.Schema().Blocks
	schema.Blocks = append(schema.Blocks, rules...)
	content, diags := body.Content(schema)
	d.diags = append(d.diags, diags...)
	var out hcl.Blocks
	for _, b := range content.Blocks {
		if slices.ContainsFunc(rules, func(s hcl.BlockHeaderSchema) bool { return s.Type == b.Type }) {
			out = append(out, b)
		}
	}
	return out
}

// fill converts every block, so that all that is wrong is reported at once.
func (d *decoder) fill(r *root, cfg *Config) {
	cfg.Node = d.need(r.Node)
	if r.Node == nil {
		cfg.Node, _ = os.Hostname()
	}
	cfg.RuntimeDir = d.runtimeDir(d.file(r.RuntimeDir))
	for i := range r.Listeners {
		cfg.Listeners = append(cfg.Listeners, d.listener(&r.Listeners[i]))
	}
	for i := range r.Upstreams {
		cfg.Upstreams = append(cfg.Upstreams, d.upstream(&r.Upstreams[i]))
	}
	for i := range r.Databases {
		cfg.Databases = append(cfg.Databases, d.database(&r.Databases[i]))
	}
	cfg.Audit = d.audit(only(d, r.Audit))
	cfg.Admin = d.admin(only(d, r.Admin))
	cfg.Log = d.log(only(d, r.Log))
	cfg.Shutdown = d.shutdown(only(d, r.Shutdown))
}

// only is the first of blocks that may be written once, or nil; others are reported.
func only[T interface{ at() hcl.Range }](d *decoder, blocks []T) *T {
	if len(blocks) == 0 {
		return nil
	}
	for _, b := range blocks[1:] {
		first := blocks[0].at()
		d.errorf(b.at(), "Duplicate block", "This block is written once; the first is at %s:%d.", first.Filename, first.Start.Line)
	}
	return &blocks[0]
}

// override applies what the command line or the environment says instead of the files.
func (d *decoder) override(s Source, cfg *Config) {
	if v := s.LogLevel; v.Value != "" {
		cfg.Log.Level = v.Value
		if !slices.Contains(logLevels, v.Value) {
			d.failf("Unknown log level", "%s is one of %s, not %q.", v.From, strings.Join(logLevels, ", "), v.Value)
		}
	}
	if v := s.AdminAddress; v.Value != "" {
		cfg.Admin.Address = v.Value
		if err := checkHostPort(v.Value); err != nil {
			d.failf("Not an address", "%s %v.", v.From, err)
		}
	}
}

func (d *decoder) database(b *databaseBlock) Database {
	d.required(b.DefRange, b.Upstream, "upstream", `"NAME"`)
	db := Database{
		Name:        b.Name,
		Upstream:    d.need(b.Upstream),
		DBName:      d.need(b.DBName),
		IdentityKey: d.identityKey(d.file(b.IdentityKey)),
	}
	if db.DBName == "" && db.Name != "*" {
		db.DBName = db.Name
	}
	return db
}

// decode fills target, a gohcl struct, and collects what does not fit.
func (d *decoder) decode(body hcl.Body, target any) {
	d.diags = append(d.diags, gohcl.DecodeBody(body, nil, target)...)
}

// parse reads every file in order, and notes names and digest in cfg.
func (d *decoder) parse(paths []string, cfg *Config) []*hcl.File {
	sum := sha256.New()
	var files []*hcl.File
	for _, name := range d.expand(paths) {
		if slices.Contains(cfg.Files, name) {
			continue
		}
		src, err := readSource(name)
		if err != nil {
			d.failf("Cannot read the configuration", "%v.", err)
			continue
		}
		f, diags := Parse(src, name)
		d.diags = append(d.diags, diags...)
		if f == nil {
			continue
		}
		d.sources[name] = f
		files = append(files, f)
		cfg.Files = append(cfg.Files, name)
		sum.Write(src)
	}
	cfg.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return files
}

// expand replaces a directory by its *.hcl files in name order.
func (d *decoder) expand(paths []string) []string {
	var names []string
	for _, p := range paths {
		info, err := os.Stat(p)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			d.failf("No configuration", "%v. Name a file or a directory of *.hcl with --config, or in PGSIGNET_CONFIG.", err)
		case err != nil:
			d.failf("Cannot read the configuration", "%v.", err)
		case !info.IsDir():
			names = append(names, filepath.Clean(p))
		default:
			names = append(names, d.directory(p)...)
		}
	}
	return names
}

func (d *decoder) directory(dir string) []string {
	entries, err := os.ReadDir(dir) // in name order
	if err != nil {
		d.failf("Cannot read the configuration", "%v.", err)
		return nil
	}
	var names []string
	for _, e := range entries {
		if name := e.Name(); strings.HasSuffix(name, ".hcl") && !strings.HasPrefix(name, ".") {
			names = append(names, filepath.Join(dir, name))
		}
	}
	if len(names) == 0 {
		d.failf("Empty directory", "%s holds no *.hcl file.", dir)
	}
	return names
}

// failf reports an error that has no place in a file.
func (d *decoder) failf(summary, format string, args ...any) {
	d.diags = d.diags.Append(&hcl.Diagnostic{
		Severity: hcl.DiagError, Summary: summary, Detail: fmt.Sprintf(format, args...),
	})
}

// readSource reads a whole HCL file; it may be a pipe.
func readSource(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) > maxFile:
		return nil, fmt.Errorf("%s is larger than %s", name, formatSize(maxFile))
	}
	return data, nil
}
