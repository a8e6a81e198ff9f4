package proof_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/sessile-go/sessile/sessions"
)

// leaked is a key that somebody else has as well.
type leaked struct{ key *ecdsa.PrivateKey }

// forge signs the claims of a token with changes. A nil value takes a claim out.
func (l leaked) forge(t *testing.T, token sessions.Token, changes map[string]any) string {
	t.Helper()
	parts := strings.Split(token.Reveal(), ".")
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(strings.NewReader(string(payload)))
	decoder.UseNumber()
	var claims map[string]any
	if err := decoder.Decode(&claims); err != nil {
		t.Fatal(err)
	}
	for name, value := range changes {
		if claims[name] = value; value == nil {
			delete(claims, name)
		}
	}
	text, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	input := parts[0] + "." + base64.RawURLEncoding.EncodeToString(text)
	digest := sha256.Sum256([]byte(input))
	r, s, err := ecdsa.Sign(rand.Reader, l.key, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + base64.RawURLEncoding.EncodeToString(append(bytesOf(r), bytesOf(s)...))
}

func bytesOf(n *big.Int) []byte { return n.FillBytes(make([]byte, 32)) }

// At strict routes the row decides who a token speaks for, whoever has signed it.
func TestAStrictRouteHoldsATokenToItsRow(t *testing.T) {
	t.Parallel()
	for _, kind := range openStores {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			var events []sessions.Event
			c := denyConfig(kind.open(t).handle(t))
			c.AccessTokenTTL, c.Signers = 10*time.Minute, []crypto.Signer{key}
			c.OnEvent = func(_ context.Context, e sessions.Event) { events = append(events, e) }
			now := time.Now()
			c.Now = func() time.Time { return now }
			m, err := sessions.New(c)
			if err != nil {
				t.Fatal(err)
			}
			handler := sessions.NewHandler(m)
			create := func(p sessions.CreateParams) sessions.Grant {
				t.Helper()
				g, err := m.Create(t.Context(), p)
				if err != nil {
					t.Fatal(err)
				}
				return g
			}
			own, other := create(sessions.CreateParams{UserID: "ada"}), create(sessions.CreateParams{UserID: "eve"})
			acting := create(sessions.CreateParams{UserID: "ada", Impersonation: true, Actor: "support"})
			forger := leaked{key}
			unknown := uuid.Must(uuid.NewV7()).String()
			events = nil
			for name, test := range map[string]struct {
				token sessions.Token
				claim map[string]any
				want  string // "" for a token that is good
			}{
				"as it was issued":                  {own.AccessToken, nil, ""},
				"an impersonation as it was issued": {acting.AccessToken, nil, ""},
				"another user":                      {own.AccessToken, map[string]any{"sub": "eve"}, "contradiction"},
				"another user's session": {
					own.AccessToken, map[string]any{"sid": other.Session.ID}, "contradiction",
				},
				"an impersonation without its actor": {
					acting.AccessToken, map[string]any{"act": nil, "auth_time": now.Unix()}, "contradiction",
				},
				"an impersonation by somebody else": {
					acting.AccessToken, map[string]any{"act": map[string]any{"sub": "eve"}}, "contradiction",
				},
				"a user's own session with an actor": {
					own.AccessToken, map[string]any{"act": map[string]any{"sub": "eve"}, "auth_time": nil},
					"contradiction",
				},
				"an impersonation's row, as oneself": {
					own.AccessToken, map[string]any{"sid": acting.Session.ID}, "contradiction",
				},
				"a session that is not there": {
					own.AccessToken, map[string]any{"sid": unknown}, "unknown_session",
				},
				"a life of 24 h and a second": {
					own.AccessToken, map[string]any{"exp": now.Unix() + 24*60*60 + 1}, "contradiction",
				},
			} {
				token := forger.forge(t, test.token, test.claim)
				r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/auth/sessions/current", nil)
				r.Header.Set("Authorization", "Bearer "+token)
				r.Header.Set("User-Agent", "forger/1.0")
				w := httptest.NewRecorder()
				handler.ServeHTTP(w, r)
				got := events
				events = nil
				if test.want == "" {
					if w.Code != http.StatusOK || len(got) > 0 {
						t.Errorf("%s: %d, events %+v", name, w.Code, got)
					}
					continue
				}
				if w.Code != http.StatusUnauthorized {
					t.Errorf("%s: %d %s", name, w.Code, w.Body)
				}
				if len(got) != 1 || got[0].Type != sessions.EventForgedToken || got[0].Refusal != test.want {
					t.Errorf("%s: events %+v, want one of a forged token, %s", name, got, test.want)
					continue
				}
				if e := got[0]; e.Client != (sessions.Client{IP: "192.0.2.1", UserAgent: "forger/1.0"}) ||
					e.Session.ID == "" || e.Session.UserID == "" || !e.Session.EndedAt.IsZero() {
					t.Errorf("%s: %+v", name, e)
				}
				now = now.Add(time.Second)
			}
			for _, g := range []sessions.Grant{own, other, acting} {
				if s, err := m.Get(t.Context(), g.Session.ID); err != nil || s != g.Session {
					t.Errorf("the row is now %+v, %v", s, err)
				}
			}

			// What is no token of now says nothing of a key: an identity that a host has kept,
			// and one whose token has expired.
			id, err := m.Verify(own.AccessToken.Reveal())
			if err != nil {
				t.Fatal(err)
			}
			id.SessionID = unknown
			expired := id
			expired.ExpiresAt = now.Add(-time.Second)
			for name, id := range map[string]sessions.Identity{
				"made": {UserID: "ada", SessionID: unknown}, "expired": expired,
			} {
				if _, err := m.Check(t.Context(), id); err == nil || len(events) > 0 {
					t.Errorf("%s: %v, events %+v", name, err, events)
				}
			}
			if _, err := m.Check(t.Context(), id); err == nil || len(events) != 1 {
				t.Errorf("the control: %v, events %+v", err, events)
			}
		})
	}
}

// Prune keeps the row of every token that is still good, so that no honest client looks
// like a forger.
func TestPruneKeepsTheRowsOfTokensThatAreGood(t *testing.T) {
	t.Parallel()
	for _, kind := range openStores {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			var forged []sessions.Event
			now := time.Now()
			clock := func() time.Time { return now }
			c := denyConfig(agreeing{Store: kind.open(t).handle(t), clock: clock})
			c.Now, c.AccessTokenTTL = clock, 10*time.Minute
			c.Retention = c.AccessTokenTTL // the least
			c.OnEvent = func(_ context.Context, e sessions.Event) {
				if e.Type == sessions.EventForgedToken {
					forged = append(forged, e)
				}
			}
			m, err := sessions.New(c)
			if err != nil {
				t.Fatal(err)
			}
			g, err := m.Create(t.Context(), sessions.CreateParams{UserID: "ada"})
			if err != nil {
				t.Fatal(err)
			}
			id, err := m.Verify(g.AccessToken.Reveal())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := m.End(t.Context(), sessions.EndParams{ID: g.Session.ID}); err != nil {
				t.Fatal(err)
			}
			for step := range 25 { // a minute each, past the end of the token and of the row
				if _, err := m.Prune(t.Context()); err != nil {
					t.Fatal(err)
				}
				if _, err := m.Check(t.Context(), id); err == nil || len(forged) > 0 {
					t.Fatalf("minute %d: %v, %+v", step, err, forged)
				}
				now = now.Add(time.Minute)
			}
			if _, err := m.Get(t.Context(), g.Session.ID); err == nil {
				t.Error("the row is still there, so nothing was tried")
			}
		})
	}
}
