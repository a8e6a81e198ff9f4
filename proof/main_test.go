package proof_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/sessile-go/sessile/internal/pgtest"
)

func TestMain(m *testing.M) {
	if dsn := os.Getenv(replicaOf); dsn != "" { // started by a test, see deny_test.go
		if err := replica(dsn); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	pgtest.Main(m)
}
