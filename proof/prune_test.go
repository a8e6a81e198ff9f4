package proof_test

import (
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
)

// A process whose clock is far ahead must not delete what is live by everybody else's.
func TestAClockFarAheadPrunesNothing(t *testing.T) {
	t.Parallel()
	for _, s := range openStores {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			st := s.open(t).handle(t)
			config := denyConfig(st)
			right, err := sessions.New(config)
			if err != nil {
				t.Fatal(err)
			}
			config.Now = func() time.Time { return time.Now().Add(2 * 365 * 24 * time.Hour) }
			ahead, err := sessions.New(config)
			if err != nil {
				t.Fatal(err)
			}
			g, err := right.Create(t.Context(), sessions.CreateParams{UserID: "alice"})
			if err != nil {
				t.Fatal(err)
			}
			if n, err := ahead.Prune(t.Context()); n != 0 || err == nil {
				t.Errorf("pruned %d, error %v", n, err)
			}
			if _, err := right.Get(t.Context(), g.Session.ID); err != nil {
				t.Error(err)
			}
			if _, err := right.Prune(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}
