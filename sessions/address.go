package sessions

import "net/netip"

// plainAddr spells an address in one way: IPv4 as such, and without a zone, which means
// nothing to anybody else.
func plainAddr(ip netip.Addr) netip.Addr { return ip.Unmap().WithZone("") }

// plainPrefix is plainAddr for a network, or ok is false if it covers more of IPv6 than
// IPv4 or is not one.
func plainPrefix(p netip.Prefix) (plain netip.Prefix, ok bool) {
	if !p.IsValid() || !p.Addr().Is4In6() {
		return p, p.IsValid()
	}
	const mapped = 96 // bits of ::ffff:0:0
	return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-mapped), p.Bits() >= mapped
}
