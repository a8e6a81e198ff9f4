package sessions_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"testing"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
)

// A host with integer ids converts them in three places: when it signs a user in, when it
// looks one up, and when a handler reads the caller's identity.
func ExampleIntUsers() {
	names := map[uint]string{7: "Ada"} // yours, in your table
	findUser := func(_ context.Context, id uint) (sessions.User, error) {
		name, ok := names[id]
		if !ok {
			return sessions.User{}, sessions.ErrUserNotFound
		}
		return sessions.User{Name: name}, nil
	}

	cfg := sessions.Config{Users: sessions.IntUsers(findUser)} // and the rest
	for _, id := range []string{sessions.IntID(uint(7)), sessions.IntID(8), "007", "+7", "7.0", "-7"} {
		user, err := cfg.Users(context.Background(), id)
		fmt.Printf("%q: %q %v\n", id, user.Name, err)
	}

	handler := func(_ http.ResponseWriter, r *http.Request) {
		caller, _ := sessions.FromContext(r.Context())
		id, ok := caller.IntID()
		fmt.Println(id, ok)
	}
	r, _ := http.NewRequest(http.MethodGet, "/", nil)
	handler(nil, r.WithContext(sessions.NewContext(r.Context(), sessions.Identity{UserID: "7"})))
	// Output:
	// "7": "Ada" <nil>
	// "8": "" sessions: user not found
	// "007": "" sessions: user not found
	// "+7": "" sessions: user not found
	// "7.0": "" sessions: user not found
	// "-7": "" sessions: user not found
	// 7 true
}

func TestOnlyTheCanonicalSpellingIsAnIntegerID(t *testing.T) {
	t.Parallel()
	type personID int32
	asked := []personID{}
	users := sessions.IntUsers(func(_ context.Context, id personID) (sessions.User, error) {
		asked = append(asked, id)
		return sessions.User{}, nil
	})
	for text, want := range map[string]int64{
		"0": 0, "7": 7, "-7": -7, "2147483647": math.MaxInt32, "-2147483648": math.MinInt32,
	} {
		asked = asked[:0]
		user, err := users(t.Context(), text)
		if err != nil || user.ID != text || len(asked) != 1 || int64(asked[0]) != want {
			t.Errorf("%q: asked for %d, answered %q, %v", text, asked, user.ID, err)
		}
		if n, ok := (sessions.Identity{UserID: text}).IntID(); !ok || n != want {
			t.Errorf("%q: identity %d, %v", text, n, ok)
		}
	}
	for _, text := range []string{
		"", " ", "007", "+7", "-0", "7 ", " 7", "7.0", "7e0", "0x7", "1_000", "٧", "seven",
		"9223372036854775808", "18446744073709551616", "99999999999999999999",
	} {
		asked = asked[:0]
		if _, err := users(t.Context(), text); !errors.Is(err, sessions.ErrUserNotFound) || len(asked) != 0 {
			t.Errorf("%q: asked for %d, answered %v", text, asked, err)
		}
		if n, ok := (sessions.Identity{UserID: text}).IntID(); ok || n != 0 {
			t.Errorf("%q: identity %d, %v", text, n, ok)
		}
	}
	// An id that the host's type cannot hold is nobody's, not that of another user.
	for _, text := range []string{"2147483648", "-2147483649", "4294967303"} {
		asked = asked[:0]
		if _, err := users(t.Context(), text); !errors.Is(err, sessions.ErrUserNotFound) || len(asked) != 0 {
			t.Errorf("%q: asked for %d, answered %v", text, asked, err)
		}
	}
	var held uint64
	unsigned := sessions.IntUsers(func(_ context.Context, id uint64) (sessions.User, error) {
		held = id
		return sessions.User{}, nil
	})
	for _, id := range []uint64{math.MaxInt64, math.MaxInt64 + 1, math.MaxUint64} {
		text := sessions.IntID(id)
		if user, err := unsigned(t.Context(), text); err != nil || held != id || user.ID != text {
			t.Errorf("%d: asked for %d, answered %q, %v", id, held, user.ID, err)
		}
	}
	if _, err := unsigned(t.Context(), "-1"); !errors.Is(err, sessions.ErrUserNotFound) {
		t.Errorf("-1 as an unsigned id: %v", err)
	}
	if got := sessions.IntID(uint64(math.MaxUint64)); got != "18446744073709551615" {
		t.Errorf("got %s", got)
	}
	if got := sessions.IntID(int64(math.MinInt64)); got != "-9223372036854775808" {
		t.Errorf("got %s", got)
	}
}

func TestAHostWithIntegerIDs(t *testing.T) {
	t.Parallel()
	failure := errors.New("the host's database is away")
	answers := map[int64]error{7: nil, 8: sessions.ErrUserDisabled, 9: failure}
	k := sessionstest.New(t, func(c *sessions.Config) {
		c.Users = sessions.IntUsers(func(_ context.Context, id int64) (sessions.User, error) {
			err, ok := answers[id]
			switch {
			case !ok:
				return sessions.User{}, sessions.ErrUserNotFound
			case id == 9:
				return sessions.User{ID: "somebody"}, err
			default:
				return sessions.User{ID: sessions.IntID(id), Name: "Ada"}, err
			}
		})
	})
	for id, want := range map[int64]error{
		7: nil, 8: sessions.ErrUserDisabled, 9: sessions.ErrUnavailable, 10: sessions.ErrUserNotFound,
	} {
		grant, err := k.Create(t.Context(), sessions.CreateParams{UserID: sessions.IntID(id)})
		if !errors.Is(err, want) {
			t.Errorf("create for %d: %v", id, err)
		}
		if want != nil {
			continue
		}
		caller, err := k.Verify(grant.AccessToken.Reveal())
		if err != nil {
			t.Fatal(err)
		}
		if n, ok := caller.IntID(); !ok || n != id {
			t.Errorf("the caller is %d, %v", n, ok)
		}
	}
	if user, err := k.Config.Users(t.Context(), "9"); user != (sessions.User{}) || !errors.Is(err, failure) {
		t.Errorf("next to an error: %v, %v", user, err)
	}
}
