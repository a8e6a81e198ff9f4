package sessions

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"slices"

	"github.com/google/uuid"
)

// A refresh token is "srt1_" and the unpadded base64url form of
//
//	key id (4) ‖ session id (16) ‖ counter (8, big endian) ‖ HMAC-SHA256 (32)
//
// The MAC covers the prefix and everything before it, with a key of the secret and the audience. No
// part of it is in the database, and a forged one is refused without a query.
const (
	refreshPrefix = "srt1_"
	refreshSigned = 4 + 16 + 8
	refreshLen    = refreshSigned + sha256.Size
	// maxCounter keeps counters exact in JSON numbers, and far below the overflow of Postgres and
	// the floats of SQLite.
	maxCounter = 1 << 53
)

var refreshEncoding = base64.RawURLEncoding.Strict()

// refreshToken holds the content of a refresh token.
type refreshToken struct {
	sessionID string
	counter   int64
	// oldSecret is true if the token is not of the first secret of the ring.
	oldSecret bool
}

// mintRefresh makes the token of a session for a counter. It is deterministic, so that a second
// caller gets the same successor.
func (r *ring) mintRefresh(sessionID string, counter int64) (Token, error) {
	id, err := uuid.Parse(sessionID)
	if err != nil {
		return Token{}, err
	}
	key := r.refresh[0]
	b := make([]byte, 0, refreshLen)
	b = append(b, key.id[:]...)
	b = append(b, id[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(counter))
	b = appendMAC(b, key.macs[0])
	return NewToken(refreshPrefix + refreshEncoding.EncodeToString(b)), nil
}

// appendMAC appends the MAC of b to b.
func appendMAC(b, key []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(refreshPrefix))
	mac.Write(b)
	return mac.Sum(b)
}

func decodeRefresh(text string) (b [refreshLen]byte, ok bool) {
	if len(text) != len(refreshPrefix)+refreshEncoding.EncodedLen(refreshLen) ||
		text[:len(refreshPrefix)] != refreshPrefix {
		return b, false
	}
	// The decoder skips line breaks even when strict; then n falls short.
	n, err := refreshEncoding.Decode(b[:], []byte(text[len(refreshPrefix):]))
	return b, err == nil && n == refreshLen
}

// parseRefresh authenticates a refresh token. Its only error is ErrMalformed, so that the error
// says nothing about the token.
func (r *ring) parseRefresh(text string) (refreshToken, error) {
	b, ok := decodeRefresh(text)
	if !ok {
		return refreshToken{}, ErrMalformed
	}
	key := r.refreshKey([4]byte(b[:4]))
	if key == nil {
		return refreshToken{}, ErrMalformed
	}
	if !slices.ContainsFunc(key.macs, func(mac []byte) bool {
		return hmac.Equal(appendMAC(b[:refreshSigned:refreshSigned], mac), b[:])
	}) {
		return refreshToken{}, ErrMalformed
	}
	counter := binary.BigEndian.Uint64(b[20:28])
	if counter == 0 || counter >= maxCounter {
		return refreshToken{}, ErrMalformed
	}
	return refreshToken{
		sessionID: uuid.UUID(b[4:20]).String(),
		counter:   int64(counter),
		oldSecret: key != r.refresh[0],
	}, nil
}
