package docs

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/hcl/v2/hclwrite"

	"github.com/pgsignet/pgsignet/policy"
)

// kitchen is what the recipes of docs/cookbook.md stand beside.
const kitchen = `listener "main" {
  address   = "127.0.0.1:6432"
  cert_file = "pki/server.crt"
  key_file  = "pki/server.key"
  client_ca = ["pki/clients-ca.crt"]
  admin     = true
}
upstream "orders" {
  hosts   = ["localhost:5432"]
  ca_file = "pki/servers-ca.crt"
  credential "certificate" {
    cert_file = "pki/broker.crt"
    key_file  = "pki/broker.key"
  }
}
database "orders" { upstream = "orders" }
database "stock" { upstream = "orders" }
audit { directory = "audit" }
`

// Each recipe loads without a warning, in the form of fmt; what its tests say is so; and a recipe that
// grants something shows with a test whom.
func TestCookbook(t *testing.T) {
	recipes := 0
	for _, b := range document(t, "docs/cookbook.md").Blocks {
		if b.Lang != "hcl" {
			continue
		}
		recipes++
		t.Run(fmt.Sprintf("line %d", b.Line), func(t *testing.T) {
			if formatted := string(hclwrite.Format([]byte(b.Text))); formatted != b.Text {
				t.Errorf("not as fmt writes it; want\n%s", formatted)
			}
			cfg, problems := load(t, map[string]string{"base.hcl": kitchen, "recipe.hcl": b.Text})
			if len(problems.List()) > 0 {
				t.Fatal(problemText(t, problems))
			}
			if strings.Contains(b.Text, "map ") && len(cfg.Tests) == 0 {
				t.Error("no test shows whom it lets in")
			}
			for _, r := range policy.RunTests(cfg.Policy(), cfg.Tests, time.Now(), nil) {
				if r.Err != nil {
					t.Errorf("test %q: %v", r.Test.Name, r.Err)
				}
			}
		})
	}
	if recipes < 10 {
		t.Errorf("%d recipes, too few to be true", recipes)
	}
}
