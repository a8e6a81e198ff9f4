package store_test

import (
	"testing"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/storetest"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	for _, d := range databases {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			storetest.Run(t, func(t testing.TB) sessions.Store { return migrated(t, open(t, d.open(t))) })
		})
		t.Run(d.name+" with an audit log", func(t *testing.T) {
			t.Parallel()
			storetest.Run(t, func(t testing.TB) sessions.Store { return audited(t, open(t, d.open(t))) })
		})
	}
}
