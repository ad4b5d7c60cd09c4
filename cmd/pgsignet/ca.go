package main

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgsignet/pgsignet/broker/pki"
	"github.com/pgsignet/pgsignet/policy/identity"
)

func newCACommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ca",
		Short: "Run a certificate authority for development",
		Long: `Run a certificate authority for development: a directory with ca.crt, ca.key, ca.crl and
ca.json (what it issued), and NAME.crt and NAME.key for each certificate. Keys are P-256
in PKCS-8, mode 0600. No file is overwritten but the list and the CRL.`,
		Example: `  pgsignet ca init --dir pki
  pgsignet ca issue server --dir pki --server --dns db.example.com
  pgsignet ca issue alice --dir pki --email alice@example.com --lifetime 30d
  pgsignet ca revoke alice --dir pki --reason keyCompromise
  pgsignet ca crl --dir pki --lifetime 7d`,
	}
	where := &caFlags{}
	cmd.PersistentFlags().StringVar(&where.dir, "dir", "pki", "`DIRECTORY` of the CA's files")
	cmd.PersistentFlags().StringVar(&where.name, "ca", pki.DefaultName, "`NAME` of the CA, when there are several in the directory")
	cmd.AddCommand(newCAInitCommand(where), newCAIssueCommand(where), newCARevokeCommand(where), newCACRLCommand(where),
		newCAExampleCommand(where))
	return cmd
}

// caFlags say which CA a command works with.
type caFlags struct {
	dir, name string
}

func (f *caFlags) open() (*pki.CA, error) { return pki.Open(f.dir, f.name) }

func newCAInitCommand(where *caFlags) *cobra.Command {
	var cfg pki.Config
	cmd := &cobra.Command{
		Use:   "init",
		Short: "Make a CA: its certificate, its key and an empty CRL",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg.Dir, cfg.Name = where.dir, where.name
			ca, err := pki.Init(cfg)
			if err != nil {
				return err
			}
			subject, err := identity.FormatDN(ca.Certificate.RawSubject)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "Made CA %s, until %s: %s, %s, %s\n",
				subject, caTime(ca.Certificate.NotAfter), ca.CertFile(), ca.KeyFile(), ca.CRLFile())
			return err
		},
	}
	addSubjectFlags(cmd, &cfg.Subject, "default: pgsignet development CA")
	durationFlag(cmd, &cfg.Lifetime, "lifetime", pki.DefaultCALifetime, "of the CA")
	durationFlag(cmd, &cfg.CRLLifetime, "crl-lifetime", pki.DefaultCRLLifetime, "of its first CRL")
	return cmd
}

func newCAIssueCommand(where *caFlags) *cobra.Command {
	var r pki.Request
	cmd := &cobra.Command{
		Use:   "issue NAME",
		Short: "Issue a certificate into NAME.crt and NAME.key",
		Long: `Issue a certificate into NAME.crt and NAME.key, and show the identity that pgsignet will read
in it. Without --cn the common name is NAME; --cn "" leaves it out. A server's certificate
without --dns and --ip is for localhost, 127.0.0.1 and ::1.`,
		Example: `  pgsignet ca issue alice --email alice@example.com
  pgsignet ca issue billing --cn "" --uri spiffe://prod.example/ns/billing/sa/api
  pgsignet ca issue payments --ext 1.3.6.1.4.1.55555.1.1=payments`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r.Name = args[0]
			if !cmd.Flags().Changed("cn") {
				r.Subject.CN = r.Name
			}
			return issueCertificate(cmd.OutOrStdout(), where, r)
		},
	}
	flags := cmd.Flags()
	addSubjectFlags(cmd, &r.Subject, "default: NAME")
	addAltNameFlags(cmd, &r.AltNames)
	flags.Func("ext", "`OID=VALUE`: a private extension with that text; may be repeated", func(s string) error {
		e, err := pki.ParseExtension(s)
		r.Extensions = append(r.Extensions, e)
		return err
	})
	durationFlag(cmd, &r.Lifetime, "lifetime", pki.DefaultLeafLifetime, "of the certificate")
	flags.Bool("client", false, "a client's certificate (the default)")
	flags.BoolVar(&r.Server, "server", false, "a server's certificate")
	cmd.MarkFlagsMutuallyExclusive("client", "server")
	return cmd
}

// issueCertificate makes the certificate and shows its identity. What pgsignet would refuse is not written.
func issueCertificate(w io.Writer, where *caFlags, r pki.Request) error {
	ca, err := where.open()
	if err != nil {
		return err
	}
	var id *identity.Identity
	r.Check = func(cert *x509.Certificate) (err error) {
		id, err = identity.Extract(cert, extensionOIDs(r.Extensions))
		return err
	}
	issued, err := ca.Issue(r)
	if err != nil {
		return err
	}
	kind := "client"
	if r.Server {
		kind = "server"
	}
	text := fmt.Sprintf("Issued a %s certificate, until %s: %s, %s\n", kind, caTime(id.NotAfter), issued.CertFile, issued.KeyFile)
	_, err = io.WriteString(w, text+describeIdentity(id)+describeLost(issued.Certificate, r, id))
	return err
}

func extensionOIDs(list []pki.Extension) []string {
	var ids []string
	for _, e := range list {
		ids = append(ids, e.ID.String())
	}
	return ids
}

// describeIdentity lists the fields a rule can match, one per line. Text that is not ASCII is shown with
// its code points.
func describeIdentity(id *identity.Identity) string {
	var b strings.Builder
	line := func(field string, values ...string) {
		for _, v := range values {
			if v != "" {
				fmt.Fprintf(&b, "  %-9s %s\n", field, v)
			}
		}
	}
	if id.CN != "" {
		line("cn", identity.Describe(id.CN))
	}
	line("dn", id.DN)
	line("email", id.Email...)
	line("dns", id.DNS...)
	line("uri", id.URI...)
	line("spiffe", id.SPIFFE)
	for _, a := range id.IP {
		line("ip", a.String())
	}
	for _, oid := range slices.Sorted(maps.Keys(id.Extension)) {
		line("extension", oid+" = "+identity.Describe(id.Extension[oid]))
	}
	line("serial", id.Serial)
	line("sha256", id.SHA256)
	return b.String()
}

// describeLost tells of names in a client's certificate that no rule will ever fit.
func describeLost(cert *x509.Certificate, r pki.Request, id *identity.Identity) string {
	if r.Server {
		return ""
	}
	var b strings.Builder
	lost := func(field string, asked, kept int) {
		if asked > kept {
			fmt.Fprintf(&b, "  note: %d of %d %s values are no identity and fit no rule\n", asked-kept, asked, field)
		}
	}
	lost("dns", len(r.AltNames.DNS), len(id.DNS))
	lost("email", len(r.AltNames.Email), len(id.Email))
	if _, _, err := identity.SPIFFEID(cert); err != nil {
		fmt.Fprintf(&b, "  note: no spiffe value: %v\n", err)
	}
	return b.String()
}

func newCARevokeCommand(where *caFlags) *cobra.Command {
	var r pki.Revocation
	cmd := &cobra.Command{
		Use:   "revoke [NAME]",
		Short: "Revoke a certificate and renew the CRL",
		Long: `Revoke the certificate in NAME.crt, or the one with --serial, and publish a new CRL. There is
no way back. A running pgsignet that reads this CRL ends the certificate's sessions.`,
		Args: cobra.MaximumNArgs(1),
		PreRunE: func(_ *cobra.Command, args []string) error {
			if (len(args) == 1) == (r.Serial != "") {
				return &exitError{code: exitUsage, err: errors.New("give either the NAME of a certificate or its --serial")}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				r.Name = args[0]
			}
			ca, err := where.open()
			if err != nil {
				return err
			}
			done, err := ca.Revoke(r)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "Revoked %s, serial %s; published CRL number %d: %s\n",
				done.Name, done.Serial, done.CRLNumber, ca.CRLFile())
			return err
		},
	}
	cmd.Flags().StringVar(&r.Serial, "serial", "", "`HEX` serial of the certificate, instead of its name")
	cmd.Flags().StringVar(&r.Reason, "reason", "", "`REASON`: "+strings.Join(pki.Reasons(), ", "))
	completeFlag(cmd, "reason", pki.Reasons()...)
	durationFlag(cmd, &r.CRLLifetime, "crl-lifetime", pki.DefaultCRLLifetime, "of the CRL")
	return cmd
}

func newCACRLCommand(where *caFlags) *cobra.Command {
	var lifetime time.Duration
	cmd := &cobra.Command{
		Use:   "crl",
		Short: "Renew the CRL",
		Long:  "Publish the CRL anew, with the next number, before the present one is past its time.",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ca, err := where.open()
			if err != nil {
				return err
			}
			list, err := ca.RenewCRL(lifetime)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "Published CRL number %v with %d revoked, until %s: %s\n",
				list.Number, len(list.RevokedCertificateEntries), caTime(list.NextUpdate), ca.CRLFile())
			return err
		},
	}
	durationFlag(cmd, &lifetime, "lifetime", pki.DefaultCRLLifetime, "of the CRL")
	return cmd
}

func addSubjectFlags(cmd *cobra.Command, s *pki.Subject, defaultCN string) {
	flags := cmd.Flags()
	flags.StringVar(&s.CN, "cn", "", "common `NAME` of the subject ("+defaultCN+")")
	flags.StringArrayVar(&s.O, "o", nil, "`ORGANISATION` of the subject; may be repeated")
	flags.StringArrayVar(&s.OU, "ou", nil, "organisational `UNIT` of the subject; may be repeated")
}

func addAltNameFlags(cmd *cobra.Command, n *pki.AltNames) {
	flags := cmd.Flags()
	flags.StringArrayVar(&n.DNS, "dns", nil, "`HOST` as subject alternative name; may be repeated")
	flags.StringArrayVar(&n.Email, "email", nil, "`ADDRESS` as subject alternative name; may be repeated")
	flags.StringArrayVar(&n.URI, "uri", nil, "`URI` as subject alternative name, for example a SPIFFE ID; may be repeated")
	flags.Func("ip", "`ADDRESS` as subject alternative name; may be repeated", func(s string) error {
		addr, err := netip.ParseAddr(s)
		n.IP = append(n.IP, addr)
		return err
	})
}

// durationFlag takes what time.ParseDuration does, and whole days: 90d.
func durationFlag(cmd *cobra.Command, d *time.Duration, name string, byDefault time.Duration, what string) {
	usage := fmt.Sprintf("`DURATION` %s, such as 12h or 30d (default %dd)", what, byDefault/(24*time.Hour))
	cmd.Flags().Func(name, usage, func(s string) (err error) {
		*d, err = parseLifetime(s)
		return err
	})
}

func parseLifetime(s string) (time.Duration, error) {
	const day = 24 * time.Hour
	if number, ok := strings.CutSuffix(s, "d"); ok {
		days, err := strconv.ParseUint(number, 10, 16)
		if err != nil || days == 0 {
			return 0, fmt.Errorf("%q: want whole days, at most 65535, such as 30d", s)
		}
		return time.Duration(days) * day, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%q: want a duration such as 12h or 30d", s)
	}
	return d, nil
}

// caTime prints a time of a certificate.
func caTime(t time.Time) string { return t.UTC().Format(time.RFC3339) }
