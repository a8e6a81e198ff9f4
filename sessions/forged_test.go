package sessions_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/sessile-go/sessile/sessions"
)

func (f *forger) forgeries(t *testing.T, name string, want ...string) {
	t.Helper()
	var got []string
	for _, e := range f.TakeEvents() {
		if e.Type != sessions.EventForgedToken {
			t.Errorf("%s: event %s", name, e.Type)
		}
		got = append(got, e.Refusal)
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: reported %v, want %v", name, got, want)
	}
}

// Whoever has the key signs what he likes, but not longer than we would, nor for another
// service.
func TestClaimsAreHeldToWhatWeIssue(t *testing.T) {
	t.Parallel()
	const former = "former"
	f := newForger(t, func(c *sessions.Config) { c.FormerAudiences = []string{former} })
	second := func(d time.Duration) string { return fmt.Sprint(start.Add(d).Unix()) }
	f.TakeEvents()
	for name, c := range map[string]struct {
		change map[string]string
		ok     bool
		report bool
	}{
		"nothing changed": {ok: true},
		"a life of 24 h":  {change: map[string]string{"exp": second(24 * time.Hour)}, ok: true},
		"a life of 24 h and a second": {
			change: map[string]string{"exp": second(24*time.Hour + time.Second)}, report: true,
		},
		"a life of a year": {
			change: map[string]string{"exp": second(365 * 24 * time.Hour)}, report: true,
		},
		"an end before its beginning": {
			change: map[string]string{"iat": second(30 * time.Second), "exp": second(20 * time.Second)}, report: true,
		},
		"issued in ten minutes": {
			change: map[string]string{"iat": second(10 * time.Minute), "exp": second(20 * time.Minute)}, report: true,
		},
		"authenticated in a minute": {change: map[string]string{"auth_time": second(time.Minute)}, ok: true},
		"authenticated in a minute and more": {
			change: map[string]string{"auth_time": second(61 * time.Second)}, report: true,
		},
		"an actor and an authentication": {change: map[string]string{"act": `{"sub":"root"}`}, report: true},
		"an actor of an actor": {
			change: map[string]string{"act": `{"sub":"root","act":{"sub":"bob"}}`, "auth_time": ""}, report: true,
		},
		"another session in refresh_token_id": {
			change: map[string]string{"refresh_token_id": `"01890a5d-ac96-774b-bcce-b302099a8057"`}, report: true,
		},
		"a user id with an override": {change: map[string]string{"sub": `"a\u202eb"`}, report: true},
		"no user":                    {change: map[string]string{"sub": ""}, report: true},
		"another client":             {change: map[string]string{"client_id": `"other"`}},
		"another project":            {change: map[string]string{"project_id": `"other"`}},
		"another client and project": {
			change: map[string]string{"client_id": `"other"`, "project_id": `"other"`},
		},
		"no project":          {change: map[string]string{"project_id": ""}},
		"another branch":      {change: map[string]string{"branch_id": `"dev"`}},
		"the former audience": {change: map[string]string{"aud": `"former"`}, ok: true},
		"the former audience, client, project": {
			change: map[string]string{"aud": `"former"`, "client_id": `"former"`, "project_id": `"former"`}, ok: true,
		},
		"another audience": {change: map[string]string{"aud": `"other"`}},
		"another issuer":   {change: map[string]string{"iss": `"https://other.example"`}},
	} {
		g := &forger{kit: f.kit, key: f.key, header: f.header, claims: f.claims}
		for claim, spelling := range c.change {
			g.claims = g.with(t, claim, spelling)
		}
		_, err := f.Verify(f.sign(t, f.header, g.claims))
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		if c.report {
			f.forgeries(t, name, "contradiction")
			f.Clock.Advance(time.Minute) // or the tenth would be the last
			f.Clock.Set(start)
			continue
		}
		f.forgeries(t, name)
	}
}

// A token says no more than it would be taken for, whatever the clocks of replicas say.
func TestAReplicaWhoseClockIsBehindIssuesGoodTokens(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	g := k.create(t, sessions.CreateParams{AuthTime: start.Add(time.Minute)})
	for _, behind := range []time.Duration{0, 15 * time.Second, 30 * time.Second} {
		k.Clock.Set(start.Add(-behind))
		g = k.refresh(t, g.RefreshToken)
		if id, err := k.Verify(g.AccessToken.Reveal()); err != nil || id.AuthTime.After(start.Add(time.Minute)) {
			t.Errorf("%v behind: %v, authenticated at %v", behind, err, id.AuthTime)
		}
	}
}

func TestForgeriesAreReportedAFewTimesAMinute(t *testing.T) {
	t.Parallel()
	f := newForger(t)
	f.TakeEvents()
	late := f.sign(t, f.header, f.with(t, "exp", fmt.Sprint(start.Add(100*24*time.Hour).Unix())))
	unknown := f.sign(t, f.header, f.with(t, "sid", `"01890a5d-ac96-774b-bcce-b302099a8057"`))
	for range 1000 {
		f.mustRefuse(t, "a life of 100 days", late)
	}
	if n := len(f.TakeEvents()); n != 10 {
		t.Errorf("1,000 forgeries are %d events, want 10", n)
	}
	f.mustRefuse(t, "an unknown session", unknown) // contradicts its refresh_token_id
	f.forgeries(t, "within the minute")
	f.Clock.Advance(time.Minute)
	f.mustRefuse(t, "a minute later", late)
	f.forgeries(t, "a minute later", "contradiction")
}

// A bad signature is anybody's, and says nothing of the key.
func TestABadSignatureIsNotReported(t *testing.T) {
	t.Parallel()
	f := newForger(t)
	stranger := newForger(t)
	f.TakeEvents()
	claims := f.with(t, "exp", fmt.Sprint(start.Add(100*24*time.Hour).Unix()))
	good := f.sign(t, f.header, claims)
	for name, token := range map[string]string{
		"a stranger's key":            stranger.sign(t, stranger.header, claims),
		"a stranger's, by our name":   stranger.sign(t, f.header, claims),
		"a signature cut":             good[:len(good)-1],
		"nothing":                     "",
		"an expired token of ours":    "",
		"claims that are not JSON":    f.sign(t, f.header, "{"),
		"a token of another audience": f.sign(t, f.header, f.with(t, "aud", `"other"`)),
	} {
		if name == "an expired token of ours" {
			token = f.sign(t, f.header, f.with(t, "exp", fmt.Sprint(start.Unix())))
		}
		f.mustRefuse(t, name, token)
		f.forgeries(t, name)
	}
}
