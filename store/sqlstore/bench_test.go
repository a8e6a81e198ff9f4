package sqlstore_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessile-go/sessile/store/sqlstore"
)

// BenchmarkRefresh is that of package store, to compare the two.
func BenchmarkRefresh(b *testing.B) {
	for _, d := range databases {
		for _, cfg := range []sqlstore.Config{{}, {AuditLog: true}} {
			b.Run(fmt.Sprintf("%s/audit log %t", d.name, cfg.AuditLog), func(b *testing.B) {
				db := d.open(b)
				db.SetMaxIdleConns(16)
				st := migrated(b, db, d.dialect, cfg)
				var failed atomic.Int64
				b.SetParallelism(4)
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					s, now := created(b, st, session("u")), t0
					for n := int64(1); pb.Next(); n++ {
						now = now.Add(time.Second)
						if _, err := st.Refresh(b.Context(), presentation(s.ID, n, now)); err != nil {
							failed.Add(1)
							return
						}
					}
				})
				if n := failed.Load(); n > 0 {
					b.Fatalf("%d refreshes failed", n)
				}
			})
		}
	}
}
