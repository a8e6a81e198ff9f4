package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// walk writes down what is asked and answered, for docs/impersonation.md.
type walk struct {
	*app
	transcript strings.Builder
}

func (w *walk) want(t *testing.T, who string, status int, code, method, path, body string, headers ...header) answer {
	t.Helper()
	got := w.app.want(t, status, code, method, path, body, headers...)
	fmt.Fprintf(&w.transcript, "%s: %s %s %s\n%d %s\n", who, method, path, body, got.status, got.text)
	return got
}

// What differs from run to run, or is too long to read.
var (
	tokens     = regexp.MustCompile(`(srt1_|eyJ)[\w.-]+`)
	sessionIDs = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`)
	userIDs    = regexp.MustCompile(`([0-9a-f]{8}-)[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`)
	times      = regexp.MustCompile(`\b\d{13}\b`)
	spaces     = regexp.MustCompile(`\s+`)
)

func shorten(text string) string {
	text = tokens.ReplaceAllString(text, "$1…")
	text = sessionIDs.ReplaceAllString(text, "…")
	text = userIDs.ReplaceAllString(text, "$1…")
	return times.ReplaceAllString(text, "…")
}

// docs/impersonation.md shows this walk, and the test compares it with what the program
// answers. Lines may be broken there as they fit.
func TestActingAsAUser(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/impersonation.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(page), "\n## What it looks like on the wire\n")
	_, section, opened := strings.Cut(section, "\n```text\n")
	section, _, closed := strings.Cut(section, "```\n")
	if !found || !opened || !closed {
		t.Error("docs/impersonation.md has no block of text in its section \"What it looks like on the wire\"")
	}
	onBoth(t, func(t *testing.T, databaseURL string) {
		w := &walk{app: start(t, t.TempDir(), append(keys(), "DATABASE_URL="+databaseURL)...)}
		ada, grace := seeds()[0], seeds()[2]
		own, administrator := w.create(t, ada.ID), w.create(t, grace.ID)

		acting := grantOf(
			t, w.want(t, "Grace", 200, "", "POST", "/auth/sessions", `{"user_id": "`+ada.ID+
				`", "reason": "ticket 4711"}`, bearer(administrator.access)),
		)
		me := w.want(t, "Grace as Ada", 200, "", "GET", "/me", "", bearer(acting.access))
		if me.body["id"] != ada.ID || me.body["actor"] != grace.ID || me.body["is_impersonation"] != true {
			t.Errorf("/me: %s", me.text)
		}
		w.want(t, "Grace as Ada", 403, "IMPERSONATION_NOT_ALLOWED", "PUT", "/me/name",
			`{"name": "Countess of Lovelace"}`, bearer(acting.access))
		me = w.app.want(t, 200, "", "GET", "/me", "", bearer(own.access))
		if me.body["name"] != ada.Name || me.body["actor"] != "" {
			t.Errorf("/me: %s", me.text)
		}

		seen := itemsOf(t, w.want(t, "Ada", 200, "", "GET", "/auth/sessions?user_id=me", "", bearer(own.access)))
		if len(seen) != 1 || seen[0]["id"] != own.session || seen[0]["last_used_at"] == nil {
			t.Errorf("Ada sees %v", seen)
		}
		listed := itemsOf(t, w.want(t, "admin key", 200, "", "GET", "/auth/sessions?user_id="+ada.ID, "",
			bearer(testAdminKey)))
		if len(listed) != 2 || listed[0]["id"] != acting.session || listed[0]["actor"] != grace.ID ||
			listed[0]["reason"] != "ticket 4711" {
			t.Errorf("the admin key sees %v", listed)
		}

		w.want(t, "server key", 200, "", "PUT", "/users/"+grace.ID+"/administrator", `{"administrator": false}`,
			bearer(testServerKey))
		refused := w.want(t, "Grace as Ada", 401, "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED", "POST",
			"/auth/sessions/current/refresh", "", header{"X-Stack-Refresh-Token", acting.refresh})
		if reasonOf(refused) != "not_allowed" {
			t.Errorf("the refresh: %s", refused.text)
		}

		if transcript := shorten(w.transcript.String()); spaces.ReplaceAllString(section,
			"") != spaces.ReplaceAllString(transcript, "") {
			t.Errorf("docs/impersonation.md shows another walk. Put there:\n\n%s", transcript)
		}

		// It has ended, nobody else's session has, and there is no next one.
		w.refuses(t, acting)
		w.app.want(t, 200, "", "GET", "/me", "", bearer(own.access))
		w.app.want(t, 200, "", "GET", "/me", "", bearer(administrator.access))
		if n := len(w.listed(t, ada.ID)); n != 1 {
			t.Errorf("the admin key sees %d sessions, want 1", n)
		}
		w.app.want(t, 403, "IMPERSONATION_NOT_ALLOWED", "POST", "/auth/sessions", `{"user_id": "`+ada.ID+`"}`,
			bearer(administrator.access))

		// All of it is on record. The refresh was granted before the policy was asked.
		w.audited(t, "user_id="+ada.ID, "impersonation_refused not_allowed", "ended not_allowed",
			"rotated ", "created ")
		w.audited(t, "actor="+grace.ID, "impersonation_refused not_allowed", "ended not_allowed",
			"rotated ", "created ")
		w.audited(t, "user_id="+grace.ID)
		w.app.want(t, 403, "FORBIDDEN", "GET", "/audit?user_id="+ada.ID, "", bearer(testServerKey))
		w.app.want(t, 401, "INSUFFICIENT_ACCESS_TYPE", "GET", "/audit?user_id="+ada.ID, "", bearer(own.access))
		w.app.want(t, 400, "SCHEMA_ERROR", "GET", "/audit", "", bearer(testAdminKey))
	})
}

// itemsOf returns the sessions of a list.
func itemsOf(t *testing.T, a answer) []map[string]any {
	t.Helper()
	list, ok := a.body["items"].([]any)
	if !ok {
		t.Fatalf("no list: %s", a.text)
	}
	items := make([]map[string]any, len(list))
	for i := range list {
		items[i], _ = list[i].(map[string]any)
	}
	return items
}

// listed are the sessions of a user, as an admin key sees them.
func (a *app) listed(t *testing.T, userID string) []map[string]any {
	t.Helper()
	return itemsOf(t, a.want(t, 200, "", "GET", "/auth/sessions?user_id="+userID, "", bearer(testAdminKey)))
}

// audited fails unless the audit log has just these entries, of which want has the
// type and why.
func (a *app) audited(t *testing.T, query string, want ...string) {
	t.Helper()
	list := a.want(t, 200, "", "GET", "/audit?"+query, "", bearer(testAdminKey))
	var got []string
	for _, e := range itemsOf(t, list) {
		got = append(got, fmt.Sprintf("%s %s%s", e["type"], e["end_reason"], e["refusal"]))
	}
	if !slices.Equal(got, want) {
		t.Errorf("the audit log of %s: %q, want %q", query, got, want)
	}
}

func reasonOf(a answer) string {
	details, _ := a.body["details"].(map[string]any)
	reason, _ := details["reason"].(string)
	return reason
}

func (a *app) impersonate(t *testing.T, actor grant, userID string) grant {
	t.Helper()
	return grantOf(t, a.want(t, 200, "", "POST", "/auth/sessions", `{"user_id": "`+userID+`", "reason": "a test"}`,
		bearer(actor.access)))
}

func (a *app) setAdministrator(t *testing.T, userID string, administrator bool) {
	t.Helper()
	a.want(t, 200, "", "PUT", "/users/"+userID+"/administrator", fmt.Sprintf(`{"administrator": %t}`, administrator),
		bearer(testServerKey))
}

// refuses fails unless a session has ended: neither of its tokens works.
func (a *app) refuses(t *testing.T, ended grant) {
	t.Helper()
	a.want(t, 401, "ACCESS_TOKEN_EXPIRED", "GET", "/me", "", bearer(ended.access))
	got := a.want(t, 401, "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED", "POST", "/auth/sessions/current/refresh", "",
		header{"X-Stack-Refresh-Token", ended.refresh})
	if reasonOf(got) != "ended" {
		t.Errorf("the refresh: %s", got.text)
	}
}

func TestAnImpersonationIsHandedOffOnce(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, databaseURL string) {
		a := start(t, t.TempDir(), append(keys(), "DATABASE_URL="+databaseURL)...)
		ada, grace := seeds()[0], seeds()[2]
		own, administrator := a.create(t, ada.ID), a.create(t, grace.ID)

		handoff := a.want(t, 200, "", "POST", "/auth/sessions", `{"user_id": "`+ada.ID+`", "handoff": true}`,
			bearer(administrator.access))
		if handoff.body["access_token"] != nil || handoff.body["refresh_token"] != nil {
			t.Errorf("tokens beside the code: %s", handoff.text)
		}
		code, _ := handoff.body["handoff_code"].(string)
		redeem := `{"code": "` + code + `"}`

		// The browser that redeems it has no credentials yet.
		acting := grantOf(t, a.want(t, 200, "", "POST", "/auth/sessions/redeem", redeem))
		if acting.session != handoff.body["session_id"] {
			t.Error("the tokens are of another session")
		}
		if me := a.want(t, 200, "", "GET", "/me", "", bearer(acting.access)); me.body["id"] != ada.ID ||
			me.body["actor"] != grace.ID {
			t.Errorf("/me: %s", me.text)
		}
		acting = grantOf(
			t, a.want(t, 200, "", "POST", "/auth/sessions/current/refresh", "", header{
				"X-Stack-Refresh-Token", acting.refresh,
			}),
		)

		// Twice redeemed is held by two.
		a.want(t, 401, "HANDOFF_CODE_NOT_FOUND_OR_EXPIRED", "POST", "/auth/sessions/redeem", redeem)
		a.refuses(t, acting)
		a.want(t, 401, "HANDOFF_CODE_NOT_FOUND_OR_EXPIRED", "POST", "/auth/sessions/redeem", redeem)
		a.want(t, 401, "HANDOFF_CODE_NOT_FOUND_OR_EXPIRED", "POST", "/auth/sessions/redeem", `{"code": "garbage"}`)
		a.audited(t, "user_id="+ada.ID, "handoff_replay handoff_replay", "rotated ", "redeemed ", "handed_off ")
		a.want(t, 200, "", "GET", "/me", "", bearer(own.access))
		a.want(t, 200, "", "GET", "/me", "", bearer(administrator.access))
	})
}

func TestAnImpersonationEndsByItself(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, databaseURL string) {
		a := start(t, t.TempDir(), append(keys(), "DATABASE_URL="+databaseURL)...)
		ada, alan, grace := seeds()[0], seeds()[1], seeds()[2]
		own, administrator, elsewhere := a.create(t, ada.ID), a.create(t, grace.ID), a.create(t, grace.ID)

		asAlan := a.impersonate(t, administrator, alan.ID)
		a.setAdministrator(t, alan.ID, true)
		refused := a.want(t, 401, "REFRESH_TOKEN_NOT_FOUND_OR_EXPIRED", "POST", "/auth/sessions/current/refresh", "",
			header{"X-Stack-Refresh-Token", asAlan.refresh})
		if reasonOf(refused) != "not_allowed" {
			t.Errorf("as one who has become an administrator: %s", refused.text)
		}
		a.refuses(t, asAlan)

		// By itself, as the user.
		asAda := a.impersonate(t, administrator, ada.ID)
		a.want(t, 200, "", "DELETE", "/auth/sessions/current", "", bearer(asAda.access))
		a.refuses(t, asAda)
		a.want(t, 200, "", "GET", "/me", "", bearer(administrator.access))

		// With the session it was asked from, and only with that one.
		asAda = a.impersonate(t, administrator, ada.ID)
		another := a.impersonate(t, elsewhere, ada.ID)
		a.want(t, 200, "", "DELETE", "/auth/sessions/current", "", bearer(administrator.access))
		a.refuses(t, asAda)
		a.want(t, 200, "", "GET", "/me", "", bearer(another.access))
		a.want(t, 200, "", "GET", "/me", "", bearer(own.access))
		a.want(t, 401, "ACCESS_TOKEN_EXPIRED", "POST", "/auth/sessions", `{"user_id": "`+ada.ID+`"}`,
			bearer(administrator.access))
		if n := len(a.listed(t, ada.ID)); n != 2 {
			t.Errorf("the admin key sees %d sessions, want 2", n)
		}
		a.audited(t, "user_id="+alan.ID, "ended not_allowed", "rotated ", "created ")
		a.audited(t, "user_id="+ada.ID, "ended parent_ended", "created ", "created ", "ended signed_out", "created ")
	})
}

func TestWhoMayActAsWhom(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, databaseURL string) {
		a := start(t, t.TempDir(), append(keys(), "DATABASE_URL="+databaseURL)...)
		ada, alan, grace := seeds()[0], seeds()[1], seeds()[2]
		own, administrator := a.create(t, ada.ID), a.create(t, grace.ID)
		a.setAdministrator(t, alan.ID, true)
		acting := a.impersonate(t, administrator, ada.ID)
		const nobody = "11111111-2222-4333-8444-555555555555"

		for name, tc := range map[string]struct {
			caller grant
			userID string
			status int
			code   string
		}{
			"a user as another":                     {own, grace.ID, 403, "IMPERSONATION_NOT_ALLOWED"},
			"a user as themselves":                  {own, ada.ID, 403, "IMPERSONATION_NOT_ALLOWED"},
			"an administrator as another":           {administrator, alan.ID, 403, "IMPERSONATION_NOT_ALLOWED"},
			"an administrator as themselves":        {administrator, grace.ID, 403, "IMPERSONATION_NOT_ALLOWED"},
			"an administrator as nobody":            {administrator, nobody, 400, "USER_ID_DOES_NOT_EXIST"},
			"an impersonation as the user":          {acting, ada.ID, 403, "IMPERSONATION_NOT_ALLOWED"},
			"an impersonation as somebody else":     {acting, alan.ID, 403, "IMPERSONATION_NOT_ALLOWED"},
			"an impersonation as the one behind it": {acting, grace.ID, 403, "IMPERSONATION_NOT_ALLOWED"},
		} {
			got := a.do(t, "POST", "/auth/sessions", `{"user_id": "`+tc.userID+`", "reason": "a test"}`,
				bearer(tc.caller.access))
			if got.status != tc.status || got.code() != tc.code {
				t.Errorf("%s: %d %s, want %d %s", name, got.status, got.text, tc.status, tc.code)
			}
		}
		for userID, want := range map[string]int{ada.ID: 2, alan.ID: 0, grace.ID: 1} {
			if n := len(a.listed(t, userID)); n != want {
				t.Errorf("user %s has %d sessions, want %d", userID, n, want)
			}
		}

		// An impersonation sees and ends itself.
		seen := itemsOf(t, a.want(t, 200, "", "GET", "/auth/sessions?user_id=me", "", bearer(acting.access)))
		if len(seen) != 1 || seen[0]["id"] != acting.session {
			t.Errorf("the impersonation sees %v", seen)
		}
		a.want(t, 403, "FORBIDDEN", "GET", "/auth/sessions?user_id="+grace.ID, "", bearer(acting.access))
		a.want(t, 404, "SESSION_NOT_FOUND", "DELETE", "/auth/sessions/"+own.session, "", bearer(acting.access))
		a.want(t, 403, "FORBIDDEN", "DELETE", "/auth/sessions?user_id=me", "", bearer(acting.access))
		a.want(t, 200, "", "GET", "/me", "", bearer(own.access))
	})
}

// What nobody sends, anybody can, and as often as they like.
func TestNobodyFillsTheAuditLog(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, databaseURL string) {
		a, clock := inProcessOn(t, databaseURL)
		ada, grace := seeds()[0], seeds()[2]
		expired, ended := a.create(t, grace.ID), a.create(t, grace.ID)
		a.want(t, 200, "", "DELETE", "/auth/sessions/current", "", bearer(ended.access))
		ask := func(i int) string {
			return fmt.Sprintf(`{"user_id": "%s", "reason": "an advertisement %d"}`, ada.ID, i)
		}
		for i := range 50 {
			a.want(t, 401, "ACCESS_TOKEN_EXPIRED", "POST", "/auth/sessions", ask(i), bearer(ended.access))
		}
		clock.Advance(3 * 365 * 24 * time.Hour)
		for i := range 50 {
			a.want(t, 401, "ACCESS_TOKEN_EXPIRED", "POST", "/auth/sessions", ask(i), bearer(expired.access))
			a.want(t, 401, "UNPARSABLE_ACCESS_TOKEN", "POST", "/auth/sessions", ask(i), bearer(expired.access+"x"))
			a.want(t, 401, "HANDOFF_CODE_NOT_FOUND_OR_EXPIRED", "POST", "/auth/sessions/redeem",
				fmt.Sprintf(`{"code": "garbage %d"}`, i))
		}
		var rows int64
		if err := openDatabase(t, databaseURL).Raw("SELECT count(*) FROM sessile_sessions_audit").Scan(&rows).
			Error; err != nil || rows != 0 {
			t.Errorf("200 requests of nobody left %d rows, %v", rows, err)
		}

		// A refusal of somebody is what the log is for.
		a.want(t, 403, "IMPERSONATION_NOT_ALLOWED", "POST", "/auth/sessions", ask(0),
			bearer(a.create(t, ada.ID).access))
		a.audited(t, "actor="+ada.ID, "impersonation_refused oneself")
	})
}

// A page and a route of the API that do the same ask for the same.
func TestChangingTheNameThroughTheAPIAsksForAFreshSignIn(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, databaseURL string) {
		a, clock := inProcessOn(t, databaseURL)
		own := a.create(t, seeds()[0].ID)
		a.want(t, 200, "", "PUT", "/me/name", `{"name": "Ada Byron"}`, bearer(own.access))
		clock.Advance(recently + time.Minute)
		stale := a.want(t, 401, "INSUFFICIENT_USER_AUTHENTICATION", "PUT", "/me/name", `{"name": "Eve"}`,
			bearer(own.access))
		if challenge := stale.header.Get("WWW-Authenticate"); !strings.Contains(challenge,
			"insufficient_user_authentication") {
			t.Errorf("WWW-Authenticate: %s", challenge)
		}
		if me := a.want(t, 200, "", "GET", "/me", "", bearer(own.access)); me.body["name"] != "Ada Byron" {
			t.Errorf("/me: %s", me.text)
		}
	})
}

func TestRoutesThatWrite(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, databaseURL string) {
		a := start(t, t.TempDir(), append(keys(), "DATABASE_URL="+databaseURL)...)
		ada, grace := seeds()[0], seeds()[2]
		own := a.create(t, ada.ID)

		for _, body := range []string{
			``, `{`, `[]`, `null`, `{}`, `{"name": null}`, `{"name": 1}`, `{"name": ""}`, `{"name": " "}`,
			`{"name": "a\u0000b"}`,
			`{"name": "` + strings.Repeat("a", 101) + `"}`, `{"name": "` + strings.Repeat("a", 2000) + `"}`,
			`{"name": "Ada", "administrator": true}`, `{"name": "Ada"} {}`, `{"name": "Ada"} x`,
		} {
			a.want(t, 400, "SCHEMA_ERROR", "PUT", "/me/name", body, bearer(own.access))
		}
		for _, body := range []string{
			``, `true`, `{}`, `{"administrator": null}`, `{"administrator": 1}`, `{"administrator": "true"}`,
		} {
			a.want(t, 400, "SCHEMA_ERROR", "PUT", "/users/"+ada.ID+"/administrator", body, bearer(testServerKey))
		}
		for _, id := range []string{"11111111-2222-4333-8444-555555555555", "%00", "me"} {
			a.want(t, 404, "USER_NOT_FOUND", "PUT", "/users/"+id+"/administrator", `{"administrator": true}`,
				bearer(testServerKey))
		}
		administrator := a.create(t, grace.ID)
		a.want(t, 401, "INSUFFICIENT_ACCESS_TYPE", "PUT", "/users/"+ada.ID+"/administrator", `{"administrator": true}`,
			bearer(administrator.access))
		a.want(t, 401, "ACCESS_TYPE_REQUIRED", "PUT", "/me/name", `{"name": "Ada"}`)
		if me := a.want(t, 200, "", "GET", "/me", "", bearer(own.access)); me.body["name"] != ada.Name ||
			me.body["is_administrator"] != false {
			t.Errorf("/me: %s", me.text)
		}

		if me := a.want(t, 200, "", "PUT", "/me/name", `{"name": "Ada, Countess of Lovelace"}`,
			bearer(own.access)); me.body["name"] != "Ada, Countess of Lovelace" {
			t.Errorf("/me/name: %s", me.text)
		}
		a.setAdministrator(t, ada.ID, true)
		if me := a.want(
			t, 200, "", "GET", "/me", "", bearer(own.access),
		); me.body["name"] != "Ada, Countess of Lovelace" || me.body["is_administrator"] != true {
			t.Errorf("/me: %s", me.text)
		}
	})
}
