package storetest_test

import (
	"testing"

	"github.com/sessile-go/sessile/sessions"
	"github.com/sessile-go/sessile/sessions/sessionstest"
	"github.com/sessile-go/sessile/sessions/storetest"
)

func TestMemoryStoreKeepsTheContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(testing.TB) sessions.Store { return sessionstest.NewStore() })
}

func TestCheckFindsNothingInAGoodStore(t *testing.T) {
	t.Parallel()
	err := storetest.Check(func() (sessions.Store, error) { return sessionstest.NewStore(), nil })
	if err != nil {
		t.Error(err)
	}
}
