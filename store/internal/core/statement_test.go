package core

import (
	"slices"
	"testing"
)

func TestCompileNumbersNamesByFirstAppearance(t *testing.T) {
	t.Parallel()
	s := compile(`UPDATE t SET a = @now, b = @by WHERE id = @id AND c > @now AND d = '@'`)
	if want := `UPDATE t SET a = $1, b = $2 WHERE id = $3 AND c > $1 AND d = '@'`; s.text != want {
		t.Errorf("got %s\nwant %s", s.text, want)
	}
	if got := s.bind(named{"id": "x", "now": 7, "by": nil, "other": 1}); !slices.Equal(got, []any{7, nil, "x"}) {
		t.Errorf("got %v", got)
	}
}

func TestFormsHaveEveryChoiceOfParts(t *testing.T) {
	t.Parallel()
	f := newForms(`SELECT @x[[, @a]][[ AND @b]] ORDER BY @o[[ LIMIT @l]]`)
	if len(f) != 8 {
		t.Fatalf("%d forms, want 8", len(f))
	}
	for _, tt := range []struct {
		parts []bool
		want  string
	}{
		{nil, `SELECT $1 ORDER BY $2`},
		{[]bool{true}, `SELECT $1, $2 ORDER BY $3`},
		{[]bool{false, true}, `SELECT $1 AND $2 ORDER BY $3`},
		{[]bool{false, false, true}, `SELECT $1 ORDER BY $2 LIMIT $3`},
		{[]bool{true, false, true}, `SELECT $1, $2 ORDER BY $3 LIMIT $4`},
		{[]bool{true, true, true}, `SELECT $1, $2 AND $3 ORDER BY $4 LIMIT $5`},
	} {
		if got := f.with(tt.parts...).text; got != tt.want {
			t.Errorf("%v: got %s, want %s", tt.parts, got, tt.want)
		}
	}
}
