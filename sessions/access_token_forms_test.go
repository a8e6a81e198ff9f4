package sessions_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/sessile-go/sessile/sessions"
)

// ourClaims are those of every token, and stackClaims those of one with a project.
var (
	ourClaims = []string{
		"iss", "sub", "aud", "iat", "exp", "jti", "client_id", "sid", "session_expires_at", "auth_time", "act",
	}
	stackClaims = []string{
		"project_id", "branch_id", "refresh_token_id", "role", "name", "email", "email_verified", "selected_team_id",
		"signed_up_at", "is_anonymous", "is_restricted", "restricted_reason", "requires_totp_mfa",
	}
)

func plain(c *sessions.Config)       { c.ProjectID, c.Audience = "", "my-app" }
func withProject(c *sessions.Config) { c.ProjectID, c.Audience = wireProject, "my-app" }

// Which claims a token has, by what the host says of the user.
func TestWhichClaimsATokenHas(t *testing.T) {
	t.Parallel()
	ordinary := slices.DeleteFunc(slices.Clone(ourClaims), func(name string) bool { return name == "act" })
	acting := slices.DeleteFunc(slices.Clone(ourClaims), func(name string) bool { return name == "auth_time" })
	whole := sessions.User{ID: wireUser, Name: "Ada", Email: "ada@example.com", EmailVerified: true, SignedUpAt: start}
	and := func(names ...string) []string { return slices.Concat(ordinary, names) }
	for name, test := range map[string]struct {
		mode func(*sessions.Config)
		user sessions.User
		act  bool
		want []string
	}{
		"plain, an id":      {plain, sessions.User{ID: wireUser}, false, ordinary},
		"plain, acting":     {plain, sessions.User{ID: wireUser}, true, acting},
		"plain, a name":     {plain, sessions.User{ID: wireUser, Name: "Ada"}, false, and("name")},
		"plain, everything": {plain, whole, false, and("name", "email", "email_verified")},
		"plain, an unverified email": {
			plain, sessions.User{ID: wireUser, Email: "ada@example.com"}, false, and("email"),
		},
		"plain, verified without an email": {
			plain, sessions.User{ID: wireUser, EmailVerified: true}, false, ordinary,
		},
		"plain, an email that is too long": {
			plain, sessions.User{ID: wireUser, Email: strings.Repeat("a", 321), EmailVerified: true}, false, ordinary,
		},
		"project, an id":      {withProject, sessions.User{ID: wireUser}, false, and(stackClaims...)},
		"project, everything": {withProject, whole, false, and(stackClaims...)},
		"project, acting":     {withProject, whole, true, slices.Concat(acting, stackClaims)},
	} {
		k := newKit(t, test.mode)
		k.SetUser(test.user, nil)
		p := sessions.CreateParams{UserID: wireUser}
		if test.act {
			p.Impersonation, p.Actor = true, "bob"
		}
		token := k.create(t, p).AccessToken.Reveal()
		var claims map[string]any
		if err := json.Unmarshal([]byte(decode(t, strings.Split(token, ".")[1])), &claims); err != nil {
			t.Fatal(err)
		}
		got, want := slices.Sorted(maps.Keys(claims)), slices.Sorted(slices.Values(test.want))
		if !slices.Equal(got, want) {
			t.Errorf("%s: got  %v\nwant %v", name, got, want)
		}
		if _, err := k.Verify(token); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A token whose user has a UUID and a name fits into 600 bytes without a project.
func TestAccessTokensAreSmallWithoutAProject(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		user  sessions.User
		limit int
	}{
		"an id":            {sessions.User{ID: wireUser}, 570},
		"an id and a name": {sessions.User{ID: wireUser, Name: "Ada Lovelace"}, 599},
		"an id, a name and an email": {
			sessions.User{ID: wireUser, Name: "Ada Lovelace", Email: "ada@example.com", EmailVerified: true}, 660,
		},
	} {
		size := func(mode func(*sessions.Config)) int {
			k := newKit(t, mode)
			k.SetUser(test.user, nil)
			return len(k.create(t, sessions.CreateParams{UserID: wireUser}).AccessToken.Reveal())
		}
		got := size(plain)
		t.Logf("%s: %d bytes without a project, %d with one", name, got, size(withProject))
		if got > test.limit {
			t.Errorf("%s: %d bytes, at most %d are wanted", name, got, test.limit)
		}
	}
}

// Tokens that were issued once are good for as long as they live, in both forms: a
// change that refuses one of these signs browsers out at a deploy, and one that takes
// more is not noticed by any other test. "former" is the form that hosts without a
// project issued before they had one of their own.
func TestGoldenAccessTokens(t *testing.T) {
	t.Parallel()
	content, err := os.ReadFile("testdata/access-tokens.txt")
	if err != nil {
		t.Fatal(err)
	}
	managers := map[string]struct {
		mode func(*sessions.Config)
		want []string
	}{
		"without a project": {plain, []string{"plain", "former"}},
		"with a project":    {withProject, []string{"plain", "former", "project"}},
		"without a project, once with one": {func(c *sessions.Config) {
			plain(c)
			c.FormerAudiences = []string{wireProject}
		}, []string{"plain", "former", "project"}},
		"of another project": {func(c *sessions.Config) {
			withProject(c)
			c.ProjectID = "other"
		}, []string{"plain", "former"}},
		"of another audience": {func(c *sessions.Config) { c.ProjectID, c.Audience = "", "other" }, nil},
		"of another issuer":   {func(c *sessions.Config) { plain(c); c.Issuer = "https://other.example" }, nil},
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	if len(lines) != 6 {
		t.Fatalf("%d tokens", len(lines))
	}
	for name, m := range managers {
		k := newKit(t, m.mode)
		for _, line := range lines {
			form, token, _ := strings.Cut(line, " ")
			form, acting := strings.CutSuffix(form, "-acting")
			id, err := k.Verify(token)
			if !slices.Contains(m.want, form) {
				if !errors.Is(err, sessions.ErrInvalidToken) || id != (sessions.Identity{}) {
					t.Errorf("%s takes %s: %+v, %v", name, form, id, err)
				}
				continue
			}
			if err != nil || id.UserID != wireUser || id.SessionID == "" || id.Impersonation != acting ||
				(id.Actor == "bob") != acting || id.AuthTime.Equal(start) == acting ||
				id.ExpiresAt.Sub(start).Minutes() != 10 {
				t.Errorf("%s, %s: %+v, %v", name, form, id, err)
			}
		}
	}
}

// A token has all claims of the family or none; the rest is not what anybody issues.
func TestVerifyRefusesFormsInBetween(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]func(*sessions.Config){"plain": plain, "project": withProject} {
		f := newForger(t, mode)
		session := ""
		if id, err := f.Verify(f.token); err != nil {
			t.Fatal(err)
		} else {
			session = id.SessionID
		}
		short := f.claims
		for _, claim := range []string{"project_id", "branch_id", "refresh_token_id"} {
			if name == "project" {
				short = (&forger{claims: short}).with(t, claim, "")
			}
		}
		client := map[string]string{"plain": "my-app", "project": wireProject}[name]
		full := short[:len(short)-1] + `,"project_id":"` + client + `","branch_id":"main",` +
			`"refresh_token_id":"` + session + `"}`
		for form, claims := range map[string]string{"short": short, "full": full} {
			if _, err := f.Verify(f.sign(t, f.header, claims)); err != nil {
				t.Errorf("%s: the %s form: %v", name, form, err)
			}
		}
		for _, claim := range []string{"project_id", "branch_id", "refresh_token_id"} {
			g := &forger{claims: full}
			f.mustRefuse(t, name+": without "+claim, f.sign(t, f.header, g.with(t, claim, "")))
			f.mustRefuse(t, name+": with null for "+claim, f.sign(t, f.header, g.with(t, claim, "null")))
			another := g.with(t, claim, `"`+uuid.NewString()+`"`)
			f.mustRefuse(t, name+": with another "+claim, f.sign(t, f.header, another))
			alone := short[:len(short)-1] + `,"` + claim + `":"main"}`
			f.mustRefuse(t, name+": with "+claim+" alone", f.sign(t, f.header, alone))
		}
		alone := short[:len(short)-1] + `,"refresh_token_id":"` + session + `"}`
		f.mustRefuse(t, name+": with the session alone", f.sign(t, f.header, alone))
	}
}

// No form lets the host set a claim of either, so that it may change the form later.
func TestRegisteredClaimsAreRefusedInBothForms(t *testing.T) {
	t.Parallel()
	for name, mode := range map[string]func(*sessions.Config){"plain": plain, "project": withProject} {
		var claim string
		k := newKit(t, mode, func(c *sessions.Config) {
			c.Claims = func(context.Context, sessions.Session, sessions.User) (map[string]any, error) {
				return map[string]any{claim: nil}, nil
			}
		})
		for _, claim = range slices.Concat(ourClaims, stackClaims, []string{"nbf", "Project_ID", "ROLE"}) {
			_, err := k.Create(t.Context(), sessions.CreateParams{UserID: "alice"})
			if !errors.Is(err, sessions.ErrUnavailable) {
				t.Errorf("%s: %s: %v", name, claim, err)
			}
		}
		claim = "plan"
		k.create(t, sessions.CreateParams{})
	}
}
