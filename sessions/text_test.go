package sessions_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/sessile-go/sessile/sessions"
)

func TestTextThatPeopleReadHidesAndReordersNothing(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	create := func(p sessions.CreateParams) error {
		_, err := k.Create(t.Context(), p)
		return err
	}
	for name, c := range map[string]string{
		"a right-to-left override": "\u202e", "an isolate": "\u2067", "a zero-width space": "\u200b",
		"a word joiner": "\u2060", "a byte order mark": "\ufeff",
		"a soft hyphen": "\u00ad", "a tag": "\U000e0041", "a line separator": "\u2028",
		"a paragraph separator": "\u2029", "an escape": "\x1b", "a C1 control": "\u0085",
	} {
		text := "ad" + c + "a"
		for field, p := range map[string]sessions.CreateParams{
			"user id": {UserID: text},
			"actor":   {UserID: "alice", Impersonation: true, Actor: text},
			"by":      {UserID: "alice", Impersonation: true, By: text},
			"reason":  {UserID: "alice", Impersonation: true, By: "key", Reason: text},
		} {
			if err := create(p); !errors.Is(err, sessions.ErrInvalidParams) {
				t.Errorf("%s in the %s: %v, want ErrInvalidParams", name, field, err)
			}
		}
		if _, err := k.EndMany(t.Context(), sessions.EndManyParams{UserID: text}); !errors.Is(err,
			sessions.ErrInvalidParams) {
			t.Errorf("%s in the user id of EndMany: %v", name, err)
		}
		if _, err := k.List(t.Context(), text, sessions.ListOptions{}); !errors.Is(err, sessions.ErrInvalidParams) {
			t.Errorf("%s in the user id of List: %v", name, err)
		}
		if _, err := sessions.HashServerKey(text, "ssk_"+strings.Repeat("k", 40)); !errors.Is(err,
			sessions.ErrInvalidParams) {
			t.Errorf("%s in the name of a key: %v", name, err)
		}
		// What a browser says of itself must not fail a sign-in.
		g := k.create(t, sessions.CreateParams{Client: sessions.Client{UserAgent: text}})
		if g.Session.Client.UserAgent != "ada" {
			t.Errorf("%s is kept in the user agent: %q", name, g.Session.Client.UserAgent)
		}
	}
	// Persian and emoji are spelled with joiners, in prose but not in ids.
	for _, c := range []string{"می\u200cخواهم", "👩\u200d💻 asked", "é ü 漢字 \u00a0 – “x”"} {
		if err := create(sessions.CreateParams{
			UserID: "alice", Impersonation: true, By: "key", Reason: c,
		}); err != nil {
			t.Errorf("reason %q: %v", c, err)
		}
		if strings.ContainsAny(c, "\u200c\u200d") {
			if err := create(sessions.CreateParams{UserID: c}); !errors.Is(err, sessions.ErrInvalidParams) {
				t.Errorf("user id %q: %v", c, err)
			}
		}
	}
}
