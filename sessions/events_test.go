package sessions_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// An event says that tokens were given only if they were: whoever reads the audit trail
// of an impersonation that the policy has stopped must not find a use that never was.
func TestAnEventSaysWhatTheHostsAnswerMadeOfARefresh(t *testing.T) {
	t.Parallel()
	away := errors.New("connection refused")
	for name, test := range map[string]struct {
		user, policy, claims error
		want                 error
		event                sessions.EventType // "" for the one of success
		refusal              string
	}{
		"yes": {},
		"a disabled user": {
			user: sessions.ErrUserDisabled, want: sessions.ErrUserDisabled, event: sessions.EventRefused,
			refusal: "user_disabled",
		},
		"a deleted user": {
			user: sessions.ErrUserNotFound, want: sessions.ErrUserNotFound, event: sessions.EventEnded,
		},
		"no answer": {
			user: away, want: sessions.ErrUnavailable, event: sessions.EventRefused, refusal: "unavailable",
		},
		"the policy says no": {
			policy: sessions.ErrImpersonationNotAllowed, want: sessions.ErrImpersonationNotAllowed,
			event: sessions.EventEnded,
		},
		"the policy is silent": {
			policy: away, want: sessions.ErrUnavailable, event: sessions.EventRefused, refusal: "unavailable",
		},
		"no claims": {
			claims: away, want: sessions.ErrUnavailable, event: sessions.EventRefused, refusal: "unavailable",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			asked := false
			k := newKit(t, func(c *sessions.Config) {
				users := c.Users
				c.Users = func(ctx context.Context, id string) (sessions.User, error) {
					if asked && id == "bob" && test.user != nil {
						return sessions.User{}, test.user
					}
					return users(ctx, id)
				}
				c.MayImpersonate = func(context.Context, sessions.Identity, sessions.User) error {
					if asked {
						return test.policy
					}
					return nil
				}
				c.Claims = func(context.Context, sessions.Session, sessions.User) (map[string]any, error) {
					if asked {
						return nil, test.claims
					}
					return nil, nil
				}
			})
			actor, err := k.Verify(k.create(t, sessions.CreateParams{}).AccessToken.Reveal())
			if err != nil {
				t.Fatal(err)
			}
			start := func(handoff bool) sessions.Grant {
				g, err := k.Manager.Impersonate(t.Context(), actor, sessions.CreateParams{
					UserID: "bob", Handoff: handoff,
				})
				if err != nil {
					t.Fatal(err)
				}
				return g
			}
			used, handed := start(false), start(true)
			asked = true
			for success, call := range map[sessions.EventType]func() error{
				sessions.EventRotated: func() error {
					_, err := k.Refresh(t.Context(), used.RefreshToken.Reveal(), sessions.Client{IP: "192.0.2.7"})
					return err
				},
				sessions.EventRedeemed: func() error {
					_, err := k.Redeem(t.Context(), handed.Handoff.Reveal(), sessions.Client{IP: "192.0.2.7"})
					return err
				},
			} {
				k.TakeEvents()
				if err := call(); !errors.Is(err, test.want) {
					t.Fatalf("%s: error %v, want %v", success, err, test.want)
				}
				want := test.event
				if want == "" {
					want = success
				}
				events := k.TakeEvents()
				if len(events) != 1 || events[0].Type != want || events[0].Refusal != test.refusal {
					t.Errorf("%s: events %+v", success, events)
				}
				if e := events[0]; e.Session.Actor != "alice" || e.Session.ID == "" || e.Client.IP == "" &&
					want != sessions.EventEnded {
					t.Errorf("%s: of what? %+v", success, e)
				}
			}
		})
	}
}

// A recovery, or a database that went back in time, is an alarm. The row has moved on by
// the time the user is refused, so it is raised then or never.
func TestARefusedRefreshStillSaysWhatWasWrongWithItsToken(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		use  func(t *testing.T, k *kit, g sessions.Grant) (*sessions.Manager, sessions.Token)
		want []sessions.EventType
	}{
		"rotated": {func(_ *testing.T, k *kit, g sessions.Grant) (*sessions.Manager, sessions.Token) {
			return k.Manager, g.RefreshToken
		}, []sessions.EventType{sessions.EventRefused}},
		"overlap": {func(t *testing.T, k *kit, g sessions.Grant) (*sessions.Manager, sessions.Token) {
			t.Helper()
			k.refresh(t, g.RefreshToken)
			return k.Manager, g.RefreshToken
		}, []sessions.EventType{sessions.EventRefused}},
		"recovered": {func(t *testing.T, k *kit, g sessions.Grant) (*sessions.Manager, sessions.Token) {
			t.Helper()
			k.refresh(t, g.RefreshToken)
			k.Clock.Advance(2 * time.Minute)
			return k.Manager, g.RefreshToken
		}, []sessions.EventType{sessions.EventRecovered, sessions.EventRefused}},
		"ahead": {func(t *testing.T, k *kit, g sessions.Grant) (*sessions.Manager, sessions.Token) {
			t.Helper()
			config := k.Config
			store := sessionstest.NewStore()
			if err := store.Create(t.Context(), g.Session); err != nil {
				t.Fatal(err)
			}
			config.Store = store
			return mustNew(t, config), k.refresh(t, g.RefreshToken).RefreshToken
		}, []sessions.EventType{sessions.EventAhead, sessions.EventRefused}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := newKit(t)
			m, token := test.use(t, k, k.create(t, sessions.CreateParams{}))
			k.SetUser(sessions.User{ID: "alice"}, sessions.ErrUserDisabled)
			k.takeEvents()
			if _, err := m.Refresh(t.Context(), token.Reveal(), sessions.Client{IP: "192.0.2.7"}); !errors.Is(err,
				sessions.ErrUserDisabled) {
				t.Fatal(err)
			}
			var got []sessions.EventType
			for _, e := range k.TakeEvents() {
				if got = append(got, e.Type); e.Client.IP != "192.0.2.7" ||
					(e.Refusal == "") == (e.Type == sessions.EventRefused) {
					t.Errorf("%+v", e)
				}
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("events %q, want %q", got, test.want)
			}
		})
	}
}

// A disabled user keeps the session and the token, and may present it as often as they like.
func TestRefusalsOfADisabledUserAreBounded(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	k := newKit(t, func(c *sessions.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	alice, bob := k.create(t, sessions.CreateParams{}), k.create(t, sessions.CreateParams{UserID: "bob"})
	refuse := func(g sessions.Grant, times int, answer, want error) (reported int) {
		t.Helper()
		k.SetUser(sessions.User{ID: g.Session.UserID}, answer)
		k.TakeEvents()
		for range times {
			if _, err := k.Refresh(t.Context(), g.RefreshToken.Reveal(), sessions.Client{}); !errors.Is(err, want) {
				t.Fatal(err)
			}
		}
		return len(k.TakeEvents())
	}
	for range 2 {
		if n := refuse(alice, 200, sessions.ErrUserDisabled, sessions.ErrUserDisabled); n != 10 {
			t.Errorf("200 refusals are %d events", n)
		}
		if n := refuse(bob, 9, sessions.ErrUserDisabled, sessions.ErrUserDisabled); n != 9 {
			t.Errorf("of another user, 9 refusals are %d events", n)
		}
		if n := refuse(bob, 20, errors.New("down"), sessions.ErrUnavailable); n != 20 {
			t.Errorf("of an outage, 20 refusals are %d events", n)
		}
		k.Clock.Advance(time.Minute)
		refuse(alice, 1, nil, nil) // or the next one is a recovery, which is an event of its own
		refuse(bob, 1, nil, nil)
	}
	if n := strings.Count(log.String(), "user_id=alice"); n != 2 {
		t.Errorf("%d lines say so:\n%s", n, log.String())
	}
}

// A hook that panics is a fault of the host; that the process goes on taking tokens of
// sessions that have ended would be ours.
func TestAHookThatPanicsLeavesNoEndedSessionAccepted(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]func(*interrupted) error{
		"end": func(w *interrupted) error {
			_, err := w.End(context.Background(), sessions.EndParams{ID: w.alice.Session.ID})
			return err
		},
		"end many": func(w *interrupted) error {
			_, err := w.EndMany(context.Background(), sessions.EndManyParams{UserID: "alice"})
			return err
		},
		"replay": func(w *interrupted) error {
			_, err := w.Refresh(context.Background(), w.spent.Reveal(), sessions.Client{})
			return err
		},
		"committed": func(w *interrupted) error {
			joined := w.Join(w.Store)
			_, err := joined.EndMany(context.Background(), sessions.EndManyParams{UserID: "alice"})
			joined.Committed(context.Background())
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			panics := false
			w := newInterrupted(t, func(c *sessions.Config) {
				c.OnEvent = func(context.Context, sessions.Event) {
					if panics {
						panic("the queue is full")
					}
				}
			})
			ended := []sessions.Grant{w.alice, w.acting}
			if name != "end" && name != "replay" {
				for range 3 {
					ended = append(ended, w.create(t, sessions.CreateParams{}))
				}
			}
			var watched []context.Context
			for _, g := range ended {
				ctx, cancel := w.Watch(t.Context(), w.identity(t, g))
				defer cancel()
				watched = append(watched, ctx)
			}
			panics = true
			func() {
				defer func() {
					if recover() == nil {
						t.Error("the panic was swallowed")
					}
				}()
				t.Errorf("returned %v", call(w))
			}()
			for i, g := range ended {
				if _, err := w.Verify(g.AccessToken.Reveal()); !errors.Is(err, sessions.ErrExpired) {
					t.Errorf("session %d of %d: %v", i+1, len(ended), err)
				}
				if watched[i].Err() == nil {
					t.Errorf("the context of session %d of %d goes on", i+1, len(ended))
				}
			}
		})
	}
}

// One time stamp from the future must not make a process remember for ever what it has
// ended.
func TestAStampFromTheFutureCostsNoMemory(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	end := func() sessions.Grant {
		g := k.create(t, sessions.CreateParams{})
		if _, err := k.End(t.Context(), sessions.EndParams{ID: g.Session.ID}); err != nil {
			t.Fatal(err)
		}
		return g
	}
	k.Clock.Set(start.Add(365 * 24 * time.Hour))
	end()
	k.Clock.Set(start)
	const each = time.Minute
	last := end()
	for range 600 {
		k.Clock.Advance(each)
		if _, err := k.Verify(last.AccessToken.Reveal()); !errors.Is(err, sessions.ErrExpired) {
			t.Fatalf("forgotten within a minute: %v", err)
		}
		last = end()
	}
	// Each is kept for between one and two lives of an access token.
	if n, most := sessions.Ends(k.Manager), 2*int(10*time.Minute/each)+2; n > most {
		t.Errorf("%d ended sessions are remembered, want at most %d", n, most)
	}
}

func TestPruneRefusesAClockThatIsWrong(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	g := k.create(t, sessions.CreateParams{})
	right := k.Clock.Now
	k.Store.Clock = func() time.Time { return start }
	k.Clock.Set(right().Add(2 * 365 * 24 * time.Hour))
	n, err := k.Prune(t.Context())
	if n != 0 || err == nil || !strings.Contains(err.Error(), "clock") {
		t.Errorf("pruned %d, error %v", n, err)
	}
	k.session(t, g.Session.ID)

	k.Faults.Before = sessionstest.FailAt(sessionstest.MethodNow, 0, errors.New("connection refused"))
	if n, err := k.Prune(t.Context()); n != 0 || !errors.Is(err, sessions.ErrUnavailable) {
		t.Errorf("without the database's clock: pruned %d, error %v", n, err)
	}
}

// The primary's event comes before those of what ended with it.
func TestEventsOfDependentsFollowTheirCause(t *testing.T) {
	t.Parallel()
	w := newInterrupted(t)
	if _, err := w.End(t.Context(), sessions.EndParams{ID: w.alice.Session.ID}); err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, e := range w.TakeEvents() {
		ids = append(ids, e.Session.ID)
	}
	if !slices.Equal(ids, []string{w.alice.Session.ID, w.acting.Session.ID}) {
		t.Errorf("events of %v", ids)
	}
}
