package main

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/sessile-go/sessile/sessions"
)

// config holds the settings from the environment.
type config struct {
	addr      string
	database  database
	secrets   [][]byte
	projectID string
	issuer    string // run derives it from the address if it is empty

	serverKey, adminKey, clientKey key
	hashes                         []sessions.ServerKey

	accessTTL, overlap time.Duration

	insecureCookie bool
}

// key is a credential of a caller.
type key struct {
	text string
	// made is true if the app made the key.
	made bool
}

// readConfig reads the environment. The error joins all faults.
func readConfig(getenv func(string) string) (config, error) {
	c := config{
		addr:      cmp.Or(getenv("ADDR"), "127.0.0.1:8080"),
		projectID: cmp.Or(getenv("SESSILE_PROJECT_ID"), "5e551e00-0000-4000-8000-000000000001"),
		issuer:    getenv("SESSILE_ISSUER"),
	}
	var errDatabase, errServer, errAdmin, errTTL, errOverlap error
	c.database, errDatabase = parseDatabase(cmp.Or(getenv("DATABASE_URL"), "sessile.db"))
	c.serverKey, errServer = c.readKey(getenv, "SESSILE_SERVER_KEY", sessions.AccessServer)
	c.adminKey, errAdmin = c.readKey(getenv, "SESSILE_ADMIN_KEY", sessions.AccessAdmin)
	c.clientKey = key{text: getenv("SESSILE_CLIENT_KEY")}
	if c.clientKey.text == "" {
		c.clientKey = key{"pck_" + strings.ToLower(rand.Text()), true}
	}
	c.accessTTL, errTTL = readDuration(getenv, "SESSILE_ACCESS_TTL")
	c.overlap, errOverlap = readDuration(getenv, "SESSILE_OVERLAP")
	var errCookie error
	switch insecure := getenv("SESSILE_INSECURE_COOKIE"); insecure {
	case "", "0":
	case "1":
		c.insecureCookie = true
	default:
		errCookie = fmt.Errorf("SESSILE_INSECURE_COOKIE: %q is neither 0 nor 1", insecure)
	}
	var errIssuer error
	if c.issuer != "" && !strings.HasSuffix(c.issuer, "/api/v1"+c.ofProject()) {
		// The metadata has the URLs of the API, which are derived from the issuer.
		errIssuer = fmt.Errorf("SESSILE_ISSUER: must be the address of the app followed by /api/v1%s", c.ofProject())
	}
	if err := errors.Join(errDatabase, errServer, errAdmin, errTTL, errOverlap, errCookie, errIssuer); err != nil {
		return config{}, err
	}

	// After the other checks, because it may write a file.
	var err error
	text := getenv("SESSILE_SECRETS")
	if text == "" {
		if text, err = keptSecrets(c.database.secretsFile); err != nil {
			return config{}, err
		}
	}
	if c.secrets, err = decodeSecrets(text); err != nil {
		return config{}, err
	}
	return c, nil
}

// ofProject is the path of the project below the API.
func (c config) ofProject() string { return "/projects/" + c.projectID }

// readKey reads a server key or an admin key, or makes one, and keeps its hash. Events and
// rows have its name.
func (c *config) readKey(getenv func(string) string, name string, access sessions.AccessType) (key, error) {
	k := key{text: getenv(name)}
	if k.text == "" {
		text, err := sessions.NewServerKey(access)
		if err != nil {
			return key{}, err
		}
		k = key{text, true}
	}
	hash, err := sessions.HashServerKey("the example's "+string(access)+" key", k.text)
	if err != nil {
		return key{}, fmt.Errorf("%s: %w", name, err)
	}
	if hash.Access != access {
		return key{},
			fmt.Errorf(
				"%s: has the prefix of the other kind: a server key starts with ssk_, an admin key with sak_", name,
			)
	}
	c.hashes = append(c.hashes, hash)
	return k, nil
}

func readDuration(getenv func(string) string, name string) (time.Duration, error) {
	text := getenv(name)
	if text == "" {
		return 0, nil // sessions has a default
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		return 0, fmt.Errorf("%s: %q is not a positive duration such as 90s or 10m", name, text)
	}
	return d, nil
}

// decodeSecrets reads base64 of either alphabet, padded or not. Errors do not contain the
// input.
func decodeSecrets(text string) ([][]byte, error) {
	toStandard := strings.NewReplacer("-", "+", "_", "/")
	var secrets [][]byte
	for i, part := range strings.Split(strings.TrimSpace(text), ",") {
		part = toStandard.Replace(strings.TrimRight(strings.TrimSpace(part), "="))
		secret, err := base64.RawStdEncoding.DecodeString(part)
		if err != nil || len(secret) < 32 {
			return nil,
				fmt.Errorf(
					"SESSILE_SECRETS: number %d is not the base64 of at least 32 random bytes (openssl rand -base64 "+
						"32)", i+1,
				)
		}
		secrets = append(secrets, secret)
	}
	return secrets, nil
}

// keptSecrets returns the content of a file in the form of SESSILE_SECRETS, and makes the
// file at the first start. It links a complete file into place, so that two replicas that
// start together read the same secret.
func keptSecrets(path string) (string, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err = makeSecrets(path); err == nil {
			text, err = os.ReadFile(path)
		}
	}
	if err != nil {
		return "", fmt.Errorf("secrets (set SESSILE_SECRETS to keep them elsewhere): %w", err)
	}
	return string(bytes.TrimSpace(text)), nil
}

func makeSecrets(path string) (err error) {
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(path), ".secrets-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(file.Name())) }()
	_, err = fmt.Fprintln(file, base64.StdEncoding.EncodeToString(secret))
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Link(file.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// baseURL returns the URL of the app: addr, with the bound port if addr leaves it open.
func baseURL(addr string, bound net.Addr) string {
	host, port, _ := net.SplitHostPort(addr) // Listen has accepted it, so it has this form
	if tcp, ok := bound.(*net.TCPAddr); ok && (port == "" || port == "0") {
		port = strconv.Itoa(tcp.Port)
	}
	return "http://" + net.JoinHostPort(cmp.Or(host, "localhost"), port)
}

// greet prints the address of the app and what to try. It prints keys that the app made,
// since nobody else has them, but not those that it was given.
func (c config) greet(out io.Writer, base string) {
	show := func(k key) string {
		if k.made {
			return k.text
		}
		return "as given"
	}
	serverKey := "$SESSILE_SERVER_KEY" // for the shell
	if c.serverKey.made {
		serverKey = c.serverKey.text
	}
	fmt.Fprintf(out, "listening on %s\n", base)
	fmt.Fprintf(out, "pages        %s/\n\n", base)
	fmt.Fprintf(out, "project id  %s\n", c.projectID)
	fmt.Fprintf(out, "server key  %s\n", show(c.serverKey))
	fmt.Fprintf(out, "admin key   %s\n", show(c.adminKey))
	fmt.Fprintf(out, "client key  %s\n\n", show(c.clientKey))
	for _, u := range seeds() {
		role := ""
		if u.Administrator {
			role = ", administrator"
		}
		fmt.Fprintf(out, "user        %s  %s%s\n", u.ID, u.Name, role)
	}
	fmt.Fprintf(out, `
Create a session:

curl -X POST '%s/auth/sessions' \
  -H "Authorization: Bearer %s" \
  -H 'Content-Type: application/json' \
  -d '{"user_id": "%s"}'

Then ask who it is, with the access_token of the answer:

curl '%s/me' -H 'Authorization: Bearer ACCESS_TOKEN'

`, base, serverKey, seeds()[0].ID, base)
}
