package sessions

import (
	"fmt"
	"io"
	"log/slog"
)

const redacted = "[redacted]"

// Token is a credential that refuses to be printed: fmt, log/slog, encoding/json
// and encoding/xml show "[redacted]". [Token.Reveal] gives the text.
//
// Tokens are comparable with == only by identity; the zero Token is empty.
type Token struct {
	// A pointer, because fmt cannot call methods of a value that it reaches
	// through another struct's unexported field: there it prints an address.
	text *string
}

// NewToken makes a Token of a text.
func NewToken(text string) Token { return Token{text: &text} }

// Reveal returns the credential itself, to be sent to its owner and nowhere else.
func (t Token) Reveal() string {
	if t.text == nil {
		return ""
	}
	return *t.text
}

// String returns "[redacted]".
func (Token) String() string { return redacted }

// GoString returns "[redacted]".
func (Token) GoString() string { return redacted }

// Format writes "[redacted]" whatever the verb.
func (Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText returns "[redacted]".
func (Token) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue returns "[redacted]".
func (Token) LogValue() slog.Value { return slog.StringValue(redacted) }
