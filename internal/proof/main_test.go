package proof_test

import (
	"testing"

	"github.com/sessile-go/sessile/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }
