package sessions

// Tested in http_client_test.go.

import "net/netip"

// plainAddr returns ip in its one spelling: IPv4 as such, and without a zone, which means nothing on other machines.
func plainAddr(ip netip.Addr) netip.Addr { return ip.Unmap().WithZone("") }

// plainPrefix is plainAddr for a network. ok is false if p is not valid or covers IPv4 and more of IPv6.
func plainPrefix(p netip.Prefix) (plain netip.Prefix, ok bool) {
	if !p.IsValid() || !p.Addr().Is4In6() {
		return p, p.IsValid()
	}
	const mapped = 96 // bits of ::ffff:0:0
	return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mapped), p.Bits() >= mapped
}
