package sessions

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// RequestClient returns the user agent and the address of the client that made a request, for
// [CreateParams.Client] of a sign-in and the like. The address is what [Config.ClientIP] returns,
// or else that of the connection, or the one that [Config.TrustedProxies] report.
func (m *Manager) RequestClient(r *http.Request) Client {
	c := Client{UserAgent: r.UserAgent()}
	if ip := m.clientIP(r); ip.IsValid() {
		c.IP = ip.String()
	}
	return c
}

func (m *Manager) clientIP(r *http.Request) netip.Addr {
	if m.cfg.ClientIP != nil {
		return plainAddr(m.cfg.ClientIP(r))
	}
	ip, _ := parseHop(r.RemoteAddr)
	if len(m.cfg.TrustedProxies) == 0 {
		return ip
	}
	return m.forwardedFor(ip, r.Header.Values("X-Forwarded-For"))
}

// forwardedFor walks X-Forwarded-For from its end, to which the nearest proxy appends, as long as
// the address so far is that of a trusted proxy. It does not split the header, which may be huge
// and, except for its end, is text of the client's own.
func (m *Manager) forwardedFor(ip netip.Addr, lines []string) netip.Addr {
	for _, line := range slices.Backward(lines) {
		for more := true; more; {
			if !m.trusts(ip) {
				return ip
			}
			hop := line
			comma := strings.LastIndexByte(line, ',')
			if more = comma >= 0; more {
				line, hop = line[:comma], line[comma+1:]
			}
			next, ok := parseHop(strings.TrimSpace(hop))
			if !ok {
				return ip
			}
			ip = next
		}
	}
	return ip
}

func (m *Manager) trusts(ip netip.Addr) bool {
	return slices.ContainsFunc(m.cfg.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(ip) })
}

// parseHop reads an address with or without a port, as proxies write them and as
// middleware leaves them in [http.Request.RemoteAddr]: 192.0.2.1, 192.0.2.1:80,
// 2001:db8::1, [2001:db8::1], [2001:db8::1]:443.
func parseHop(s string) (netip.Addr, bool) {
	if inner, ok := strings.CutPrefix(s, "["); ok && strings.HasSuffix(inner, "]") && strings.Contains(inner, ":") {
		s = inner[:len(inner)-1]
	} else if ok || strings.Count(s, ":") == 1 {
		hop, err := netip.ParseAddrPort(s)
		return plainAddr(hop.Addr()), err == nil
	}
	ip, err := netip.ParseAddr(s)
	return plainAddr(ip), err == nil
}
