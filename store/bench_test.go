package store_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sessile-go/sessile/store"
)

// BenchmarkRefresh rotates ordinary sessions by 8 callers at once, with and without an
// audit log: the ratio of the two is what the log costs those whom it says nothing of.
func BenchmarkRefresh(b *testing.B) {
	for _, d := range databases {
		for _, cfg := range []store.Config{{}, {AuditLog: true}} {
			b.Run(fmt.Sprintf("%s/audit log %t", d.name, cfg.AuditLog), func(b *testing.B) {
				db := open(b, d.open(b))
				pool(b, db).SetMaxIdleConns(16)
				st := migratedAs(b, db, cfg)
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
