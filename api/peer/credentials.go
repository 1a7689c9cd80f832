package peer

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net"
	"time"
)

// MinSecret is how many bytes a secret has at least.
const MinSecret = 16

// ErrStranger means that the other side has another secret, or none.
var ErrStranger = errors.New("peer: the other side does not know the secret")

// Credentials are what nodes with one secret know each other by: an ed25519 key that all
// of them make of it. A certificate carries the key through the handshake and means
// nothing by itself. nil is no secret.
type Credentials struct {
	public ed25519.PublicKey
	config *tls.Config
}

// NewCredentials makes credentials of a secret, and nil of none.
func NewCredentials(secret string) (*Credentials, error) {
	if secret == "" {
		return nil, nil
	}
	if len(secret) < MinSecret {
		return nil, fmt.Errorf("peer: a secret needs at least %d bytes, this one has %d", MinSecret, len(secret))
	}
	seed, err := hkdf.Key(sha256.New, []byte(secret), nil, "weir peer ed25519 1", ed25519.SeedSize)
	if err != nil {
		return nil, fmt.Errorf("peer: derive a key: %w", err)
	}
	key := ed25519.NewKeyFromSeed(seed)
	c := &Credentials{public: key.Public().(ed25519.PublicKey)}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Unix(0, 0), // no clock is asked
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, c.public, key)
	if err != nil {
		return nil, fmt.Errorf("peer: make a certificate: %w", err)
	}
	c.config = &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{{Certificate: [][]byte{cert}, PrivateKey: key}},
		ClientAuth:             tls.RequireAnyClientCert,
		InsecureSkipVerify:     true, // no authority vouches for the key; verify compares it
		VerifyConnection:       c.verify,
		SessionTicketsDisabled: true, // each connection proves the key anew
	}
	return c, nil
}

// verify is called with the other side's certificate when that has proved its key.
func (c *Credentials) verify(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return ErrStranger
	}
	key, ok := state.PeerCertificates[0].PublicKey.(ed25519.PublicKey)
	if !ok || subtle.ConstantTimeCompare(key, c.public) != 1 {
		return ErrStranger
	}
	return nil
}

// Listener has connections to l begin with the proof of the secret. Without one l is
// what it was.
func Listener(l net.Listener, c *Credentials) net.Listener {
	if c == nil {
		return l
	}
	return tls.NewListener(l, c.config)
}

// client puts the proof of the secret on a connection.
func (c *Credentials) client(conn net.Conn) net.Conn {
	if c == nil {
		return conn
	}
	return tls.Client(conn, c.config)
}
