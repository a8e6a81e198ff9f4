package sessions

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Every key comes from one of the host's secrets by HKDF-SHA256 (RFC 5869) with a label of its own.
// The labels and their use are frozen: if one changes, every token that has been issued dies.
// TestSecretDerivationIsFrozen checks them. After the label of the refresh key come a zero byte and
// the audience, so that two services which share a store and a secret cannot redeem each other's
// refresh tokens.
const (
	labelSigning      = "sessile es256 v1 "
	labelRefresh      = "sessile refresh v1"
	labelRefreshKeyID = "sessile refresh kid v1"
)

// minSecret is the least length of a secret, in bytes: the strength of SHA-256.
const minSecret = 32

// refreshKey authenticates refresh tokens of one secret.
type refreshKey struct {
	id [4]byte
	// macs are the keys of the audiences. The first one mints, all verify.
	macs [][]byte
}

// ring holds the keys of all secrets. The first of each kind mints, all verify. Elements are
// pointers so that printing a struct that holds a ring shows addresses and no key.
type ring struct {
	refresh []*refreshKey
	access  []*accessKey
}

// newRing derives the keys of all secrets for all audiences. If there are signers, they replace the
// derived signing keys. The error joins all faults.
func newRing(secrets [][]byte, signers []crypto.Signer, audiences []string) (*ring, error) {
	var (
		r    ring
		errs []error
	)
	if len(secrets) == 0 {
		errs = append(errs, errors.New("sessions: Config.Secrets: at least one is required"))
	}
	for i, secret := range secrets {
		if len(secret) < minSecret {
			errs = append(errs,
				fmt.Errorf("sessions: Config.Secrets[%d]: has %d bytes, at least %d random ones are required", i,
					len(secret), minSecret))
			continue
		}
		if bytes.Count(secret, secret[:1]) == len(secret) { // a buffer that was never filled
			errs = append(errs,
				fmt.Errorf("sessions: Config.Secrets[%d]: is one byte repeated, random ones are required", i))
			continue
		}
		if j := indexSecret(secrets[:i], secret); j >= 0 {
			errs = append(errs, fmt.Errorf("sessions: Config.Secrets[%d]: is the same as Secrets[%d]", i, j))
			continue
		}
		refresh, signer, err := deriveKeys(secret, audiences)
		if err != nil {
			errs = append(errs, fmt.Errorf("sessions: Config.Secrets[%d]: %w", i, err))
			continue
		}
		if r.refreshKey(refresh.id) != nil {
			errs = append(errs,
				fmt.Errorf("sessions: Config.Secrets[%d]: has the key id of another secret, generate a new one", i))
			continue
		}
		r.refresh = append(r.refresh, refresh)
		if len(signers) == 0 {
			key, err := newAccessKey(signer)
			if err != nil {
				errs = append(errs, fmt.Errorf("sessions: Config.Secrets[%d]: %w", i, err))
				continue
			}
			r.access = append(r.access, key)
		}
	}
	for i, signer := range signers {
		key, err := newAccessKey(signer)
		if err != nil {
			errs = append(errs, fmt.Errorf("sessions: Config.Signers[%d]: %w", i, err))
			continue
		}
		if r.accessKey(key.header) != nil {
			errs = append(errs, fmt.Errorf("sessions: Config.Signers[%d]: is given twice", i))
			continue
		}
		r.access = append(r.access, key)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return &r, nil
}

func indexSecret(secrets [][]byte, secret []byte) int {
	for i, s := range secrets {
		if bytes.Equal(s, secret) {
			return i
		}
	}
	return -1
}

// deriveKeys makes the keys of one secret.
func deriveKeys(secret []byte, audiences []string) (*refreshKey, *ecdsa.PrivateKey, error) {
	macs := make([][]byte, len(audiences))
	for i, audience := range audiences {
		var err error
		if macs[i], err = hkdf.Key(sha256.New, secret, nil, labelRefresh+"\x00"+audience, sha256.Size); err != nil {
			return nil, nil, err
		}
	}
	id, err := hkdf.Key(sha256.New, secret, nil, labelRefreshKeyID, 4)
	if err != nil {
		return nil, nil, err
	}
	// A candidate is out of range with a chance of 2^-32, so this ends at once.
	for i := 0; ; i++ {
		raw, err := hkdf.Key(sha256.New, secret, nil, labelSigning+strconv.Itoa(i), 32)
		if err != nil {
			return nil, nil, err
		}
		if signer, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), raw); err == nil {
			return &refreshKey{id: [4]byte(id), macs: macs}, signer, nil
		}
	}
}

// refreshKey returns a refresh key by its id, or nil.
func (r *ring) refreshKey(id [4]byte) *refreshKey {
	for _, k := range r.refresh {
		if k.id == id {
			return k
		}
	}
	return nil
}

// accessKey returns a signing key by the whole protected header, or nil.
func (r *ring) accessKey(header string) *accessKey {
	for _, k := range r.access {
		if k.header == header {
			return k
		}
	}
	return nil
}

// The prefixes distinguish the credentials of trusted callers, so that no credential is tried as
// two kinds.
const (
	serverKeyPrefix = "ssk_"
	adminKeyPrefix  = "sak_"
	minServerKey    = 32
)

// ServerKey holds a name and the hash of a server or admin key. Make one with [HashServerKey]. The
// key itself is 256 random bits, so one round of SHA-256 is as good as any slower hash.
type ServerKey struct {
	// Name names the caller, in events and on rows; 1 to 255 bytes. Two keys may share a name while
	// one replaces the other.
	Name string
	// Access is AccessServer or AccessAdmin.
	Access AccessType
	// SHA256 is the hash of the whole key in lower-case hexadecimal.
	SHA256 string
}

// NewServerKey makes the credential of a trusted caller: "ssk_…" for [AccessServer], "sak_…" for
// [AccessAdmin]. Give it to the caller, and keep only [HashServerKey] of it. Any other access type
// is an error.
func NewServerKey(access AccessType) (string, error) {
	prefix, ok := keyPrefix(access)
	if !ok {
		return "", fmt.Errorf("%w: a key is for %q or %q, not %q", ErrInvalidParams, AccessServer, AccessAdmin, access)
	}
	var b [32]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", err
	}
	return prefix + base64.RawURLEncoding.EncodeToString(b[:]), nil
}

// HashServerKey makes the entry of a key for [Config.ServerKeys]. The key's prefix gives the access
// type. Errors: an unknown prefix, fewer than 32 characters, a character outside A-Z a-z 0-9 - _ .
// ~, or an invalid name.
func HashServerKey(name, key string) (ServerKey, error) {
	access, ok := keyAccess(key)
	switch {
	case !ok:
		return ServerKey{}, fmt.Errorf("%w: a server key starts with %s, an admin key with %s", ErrInvalidParams,
			serverKeyPrefix, adminKeyPrefix)
	case len(key) < minServerKey:
		return ServerKey{}, fmt.Errorf("%w: the key has %d characters, at least %d are required", ErrInvalidParams,
			len(key), minServerKey)
	case strings.ContainsFunc(key, func(c rune) bool { return !isKeyChar(c) }):
		return ServerKey{}, fmt.Errorf("%w: the key has a character outside A-Z a-z 0-9 - _ . ~", ErrInvalidParams)
	case name == "" || !validText(name, maxName):
		return ServerKey{}, fmt.Errorf("%w: the name of a key has 1 to %d bytes without control or format characters",
			ErrInvalidParams, maxName)
	}
	sum := sha256.Sum256([]byte(key))
	return ServerKey{Name: name, Access: access, SHA256: hex.EncodeToString(sum[:])}, nil
}

func isKeyChar(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("-_.~", c)
}

func keyPrefix(access AccessType) (string, bool) {
	switch access {
	case AccessServer:
		return serverKeyPrefix, true
	case AccessAdmin:
		return adminKeyPrefix, true
	default:
		return "", false
	}
}

func keyAccess(key string) (AccessType, bool) {
	switch {
	case strings.HasPrefix(key, serverKeyPrefix):
		return AccessServer, true
	case strings.HasPrefix(key, adminKeyPrefix):
		return AccessAdmin, true
	default:
		return "", false
	}
}

// keySet holds the server keys, ready to compare.
type keySet []keyEntry

type keyEntry struct {
	name   string
	access AccessType
	sum    [sha256.Size]byte
}

func newKeySet(keys []ServerKey) (keySet, error) {
	var (
		set  keySet
		errs []error
	)
	for i, k := range keys {
		sum, err := hex.DecodeString(k.SHA256)
		switch _, known := keyPrefix(k.Access); {
		case !known:
			errs = append(errs, fmt.Errorf("sessions: Config.ServerKeys[%d].Access: must be %q or %q", i,
				AccessServer, AccessAdmin))
		case k.Name == "" || !validText(k.Name, maxName):
			errs = append(errs, fmt.Errorf("sessions: Config.ServerKeys[%d].Name: "+
				"1 to %d bytes without control or format characters are required", i, maxName))
		case err != nil || len(sum) != sha256.Size:
			errs = append(errs,
				fmt.Errorf("sessions: Config.ServerKeys[%d].SHA256: must be 64 hexadecimal digits, see HashServerKey",
					i))
		default:
			set = append(set, keyEntry{k.Name, k.Access, [sha256.Size]byte(sum)})
		}
	}
	return set, errors.Join(errs...)
}

// find returns the name of key. It compares with every entry, in constant time.
func (s keySet) find(key string, access AccessType) (name string, ok bool) {
	sum := sha256.Sum256([]byte(key))
	for i := range s {
		if subtle.ConstantTimeCompare(s[i].sum[:], sum[:]) == 1 && s[i].access == access {
			name, ok = s[i].name, true
		}
	}
	return name, ok
}
