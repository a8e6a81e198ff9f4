package sessions_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"testing"

	"github.com/sessile-go/sessile/sessions"
)

// The cost of a token over the cost of its signature: compare within one run.
//
//	go test ./sessions -run '^$' -bench Token -count 10

func BenchmarkTokenRawVerify(b *testing.B) {
	key, digest := rawKey(b)
	signature, err := ecdsa.SignASN1(rand.Reader, key, digest)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if !ecdsa.VerifyASN1(&key.PublicKey, digest, signature) {
			b.Fatal("the signature does not verify")
		}
	}
}

func BenchmarkTokenVerify(b *testing.B) {
	k := newKit(b)
	token := k.create(b, sessions.CreateParams{}).AccessToken.Reveal()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Verify(token); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkTokenRawSign(b *testing.B) {
	key, digest := rawKey(b)
	for b.Loop() {
		if _, err := ecdsa.SignASN1(rand.Reader, key, digest); err != nil {
			b.Fatal(err)
		}
	}
}

// A refresh over the store in memory is a user lookup, the protocol, one signature
// and one MAC.
func BenchmarkTokenRefresh(b *testing.B) {
	k := newKit(b)
	token := k.create(b, sessions.CreateParams{}).RefreshToken
	b.ReportAllocs()
	for b.Loop() {
		k.takeEvents()
		token = k.refresh(b, token).RefreshToken
	}
}

func rawKey(b *testing.B) (*ecdsa.PrivateKey, []byte) {
	b.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	digest := sha256.Sum256([]byte("message"))
	return key, digest[:]
}
