package storetest

import (
	"fmt"
	"strings"
	"time"

	"github.com/sessile-go/sessile/sessions"
)

func userCases() []testCase {
	return []testCase{
		{
			name: "users/each sees only their own sessions",
			why: "user ids are compared byte by byte: no folding of case, spaces or normal forms, no numbers, no " +
				"patterns",
			run: func(k *kit) {
				for i, user := range users() {
					k.create(session(2*i, user), created(impersonation(2*i+1, user), micro))
				}
				for i, user := range users() {
					plain, imp := session(2*i, user), created(impersonation(2*i+1, user), micro)
					k.lists(fmt.Sprintf("of user %+q", user), sessions.ListParams{
						UserID: user, Impersonations: true, Moment: at(time.Second),
					},
						imp, plain)
				}
			},
		},
		{
			name: "users/ending one's own ends nobody else's",
			why:  "EndMany ends the sessions of one user; user ids are compared byte by byte",
			run: func(k *kit) {
				all := users()
				for i, user := range all {
					k.create(session(i, user))
				}
				for i, user := range all {
					k.endMany(fmt.Sprintf("of user %+q", user),
						sessions.EndManyParams{
							UserID: user, Now: at(time.Hour).Now, Reason: sessions.EndRevoked, By: user,
						}, session(i, user))
					for j := i + 1; j < len(all) && len(k.failed) == 0; j++ {
						k.holds(session(j, all[j]))
					}
				}
			},
		},
		{
			name: "users/nobody ends another's session",
			why:  "if UserID is set, it must be the session's, byte by byte",
			run: func(k *kit) {
				all := users()
				for i, user := range all {
					k.create(session(i, user))
				}
				for i, user := range all {
					other := all[(i+1)%len(all)]
					k.noEnd(fmt.Sprintf("of user %+q as %+q", user, other), sessions.EndParams{
						ID: id(i), UserID: other, Now: start.Add(time.Hour), Reason: sessions.EndRevoked, By: other,
					})
					k.holds(session(i, user))
					s, err := k.store.End(k.ctx, sessions.EndParams{
						ID: id(i), UserID: user, Now: at(time.Hour).Now, Reason: sessions.EndSignedOut, By: user,
					})
					if err != nil {
						k.errorf("End of user %+q: %w", user, err)
					}
					k.same("End", s, ended(session(i, user), start.Add(time.Hour), sessions.EndSignedOut, user))
				}
			},
		},
		{
			name: "users/a pattern matches nobody",
			why:  "a user id is a value, never a pattern or a part of a statement",
			run: func(k *kit) {
				k.create(session(1, "alice"), session(2, "bob"), session(3, "a_b"), session(4, `a\b`))
				for _, user := range []string{
					"%", "_____", "a%", "%e", "ALICE", "al*", "?lice", "[a]lice", "^alice$", ".*", "alice'--",
					"' OR '1'='1", `alice\`, "a__", "alicé",
					"alice' OR user_id='bob", "bob'; DELETE FROM sessile_sessions; --", "NULL",
				} {
					k.lists(fmt.Sprintf("of user %q", user), sessions.ListParams{
						UserID: user, Impersonations: true, Moment: at(0),
					})
					k.endMany(fmt.Sprintf("of user %q", user), sessions.EndManyParams{
						UserID: user, Now: at(0).Now, Reason: sessions.EndRevoked,
					})
				}
				k.holds(session(1, "alice"), session(2, "bob"), session(3, "a_b"), session(4, `a\b`))
			},
		},
	}
}

// users returns ids that a collation, a pattern, a conversion or a column of limited length confuses. Similar ids stand
// next to each other.
func users() []string {
	long := strings.Repeat("x", 254)
	return []string{
		"alice", "Alice", "ALICE", "alice ", " alice", "alice  ", "alic", "alicea", "alice\u00a0",
		"alice\u200b", "аlice",
		"al%", "%", "%%", "al_ce", "_", "_____", `\`, `\\`, `\%`, "*", "?", "[a]",
		"é", "e\u0301", "e", "E", "É", "Å", "A\u030a", "\u212b",
		"ß", "ss", "ẞ", "SS", "i", "I", "ı", "İ", "ſ", "s", "S", "K", "\u212a", "k",
		"1", "01", "1.0", "1e0", "+1", "-1", "0", "00", "0x1", "true", "t", "NULL", "null", "undefined",
		"o'brien", "o''brien", `o"brien`, "o`brien", "obrien", "o;brien", "o--brien", "o/**/brien", "$1", "?1", ":user",
		"@user", "{}", "'{}'",
		"' OR '1'='1", "'; DROP TABLE sessile_sessions; --",
		long, long + "x", long + "y", strings.Repeat("é", 127), strings.Repeat("é", 127) + "x",
		"日本", "日本語", "👩", "👩‍👩‍👧", "\U0010fffd", "\ufffd", "\u2028", "a\u0300\u0316", "a\u0316\u0300", "ﬁ",
		"fi", "ａ", "a",
	}
}
