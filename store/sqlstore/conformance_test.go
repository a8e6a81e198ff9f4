package sqlstore_test

import (
	"fmt"
	"testing"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/storetest"
	"github.com/sessile-go/sessile/store/sqlstore"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		for _, cfg := range []sqlstore.Config{{}, {NoPreparedStatements: true, AuditLog: true}} {
			name := fmt.Sprintf("%s/audit log %t, unprepared %t", d.name, cfg.AuditLog, cfg.NoPreparedStatements)
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				storetest.Run(t, func(t testing.TB) sessions.Store { return migrated(t, d.open(t), d.dialect, cfg) })
			})
		}
	}
}
