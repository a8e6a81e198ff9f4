package sessions_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/sessile-go/sessile/sessions"
)

func TestRefreshTokensThatAreNotOurs(t *testing.T) {
	t.Parallel()
	k := newKit(t)
	good := k.create(t, sessions.CreateParams{}).RefreshToken.Reveal()
	foreign := newKit(t, func(c *sessions.Config) { c.Secrets = [][]byte{secret(7)} }).create(t,
		sessions.CreateParams{}).RefreshToken.Reveal()
	cases := map[string]string{
		"empty":                     "",
		"the prefix alone":          "srt1_",
		"one character less":        good[:len(good)-1],
		"one character more":        good + "A",
		"padded":                    good + "=",
		"quoted":                    `"` + good + `"`,
		"another prefix":            "srt2_" + good[5:],
		"an upper-case prefix":      "SRT1_" + good[5:],
		"a line break at its end":   good + "\n",
		"a line break inside":       good[:40] + "\n" + good[41:],
		"the standard alphabet":     good[:84] + "+",
		"a token of another secret": foreign,
		"a megabyte":                strings.Repeat("A", 1<<20),
		"a session id":              "01890a5d-ac96-774b-bcce-b302099a8057",
		"the word undefined":        "undefined",
	}
	for i := 5; i < len(good); i++ {
		flipped := []byte(good)
		if flipped[i]++; good[i] == 'z' || good[i] == 'Z' || good[i] == '9' || good[i] == '-' || good[i] == '_' {
			flipped[i] = 'A'
		}
		cases[fmt.Sprintf("another character at %d", i)] = string(flipped)
	}
	for name, token := range cases {
		if _, err := k.Refresh(t.Context(), token, sessions.Client{}); !errors.Is(err, sessions.ErrMalformed) {
			t.Errorf("%s: error %v, want ErrMalformed", name, err)
		}
	}
	k.refresh(t, sessions.NewToken(good)) // the session still works
}

func FuzzRefreshToken(f *testing.F) {
	m := newKit(f, func(c *sessions.Config) { c.Store = nopStore{} })
	// Whole but for its MAC: one that is a letter off would be found by mutation, and
	// then the token is a good one.
	f.Add("srt1_9HrE4wGJCl2slndLvM6zAgmagFcAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")
	f.Add("srt1_")
	f.Fuzz(func(t *testing.T, token string) {
		// The store would panic: nothing that is forged may reach it.
		if g, err := m.Refresh(t.Context(), token, sessions.Client{}); !errors.Is(err, sessions.ErrMalformed) ||
			g != (sessions.Grant{}) {
			t.Errorf("%q: %v", token, err)
		}
	})
}

// nopStore panics at any use.
type nopStore struct{ sessions.Store }
