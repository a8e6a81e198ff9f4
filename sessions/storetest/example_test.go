package storetest_test

import (
	"fmt"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
	"github.com/sessile-go/sessile/sessions/storetest"
)

// The tests of a store call Run:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t testing.TB) sessions.Store { return newStore(t) })
//	}
//
// Check needs no *testing.T.
func ExampleCheck() {
	err := storetest.Check(func() (sessions.Store, error) { return sessionstest.NewStore(), nil })
	fmt.Println(err)
	// Output: <nil>
}
