package main

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"

	"weir/api/peer"
)

// regionName is what a policy can name.
var regionName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// checkRole refuses what cannot mean anything among several nodes, and what strangers could reach.
func (c *serveCommand) checkRole() error {
	switch {
	case !regionName.MatchString(c.Region):
		return fmt.Errorf("--region %q is not a name; use up to 64 letters, digits, '.', '_' and '-'", c.Region)
	case c.PeerSecret != "" && len(c.PeerSecret) < peer.MinSecret:
		return advised{
			fmt.Errorf("--peer-secret has %d bytes, the least is %d", len(c.PeerSecret), peer.MinSecret),
			"A short secret can be guessed. Make one with: openssl rand -hex 32",
		}
	case c.Role != roleAll && c.Demo:
		return advised{fmt.Errorf("--demo shows one node, --role %s needs others", c.Role), "Leave one of them out."}
	case c.Role != roleEdge && len(c.Shield) > 0:
		return advised{fmt.Errorf("--shield means something only with --role edge, this is --role %s", c.Role), "A shield asks origins itself, and no other shield."}
	case c.Role == roleEdge:
		return c.checkEdge()
	case c.Role == roleShield && c.PeerListen == "":
		return advised{errors.New("--role shield serves nobody without --peer-listen"), "Say where edges find it: --peer-listen :8082"}
	case c.PeerListen != "" && !c.PeerListen.loopback() && c.PeerSecret == "":
		return advised{
			fmt.Errorf("--peer-listen %s can be reached from other machines and there is no --peer-secret", c.PeerListen),
			"Whoever reaches it can read everything that is stored, and purge.\nSet WEIR_PEER_SECRET, or listen on loopback: --peer-listen 127.0.0.1:8082",
		}
	}
	return nil
}

func (c *serveCommand) checkEdge() error {
	switch {
	case len(c.Shield) == 0:
		return advised{errors.New("--role edge needs a --shield to ask"), "Name it: --shield https://shield.internal:8082"}
	case c.Data != "":
		return advised{errors.New("--data is for nodes with a disk tier, an edge has none"), "Leave it out; what an edge loses in a restart, its shield still has."}
	case c.PeerListen != "":
		return advised{errors.New("--peer-listen is for shields, and an edge is none"), "Edges ask one shield, never each other."}
	}
	for _, u := range c.Shield {
		if err := c.checkShield(u); err != nil {
			return err
		}
	}
	return nil
}

// checkShield refuses addresses that the peer client would refuse, and says what would do.
func (c *serveCommand) checkShield(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.Port() == "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.User != nil {
		return fmt.Errorf("--shield %q is not the address of a shield; write https://HOST:PORT", s)
	}
	if c.PeerSecret != "" {
		return nil // then it is TLS, and each side proves the secret
	}
	ip, err := netip.ParseAddr(u.Hostname())
	loopback := u.Hostname() == "localhost" || err == nil && ip.Unmap().IsLoopback()
	switch {
	case !loopback:
		return advised{
			fmt.Errorf("--shield %s is another machine and there is no --peer-secret", s),
			"Without one, whoever is on the way can read and change what is cached. Set WEIR_PEER_SECRET on both nodes.",
		}
	case u.Scheme == "https":
		return advised{
			fmt.Errorf("--shield %s says https, and there is no --peer-secret", s),
			"Nodes encrypt by their common secret, not by certificates of authorities. Set WEIR_PEER_SECRET on both, or write http://",
		}
	}
	return nil
}
