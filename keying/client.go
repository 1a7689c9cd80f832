package keying

import (
	"bytes"
	"net/http"
	"strings"
)

// Device classes.
const (
	Smartphone = "smartphone"
	Tablet     = "tablet"
	Mobile     = "mobile" // other devices that are carried about: feature phones, watches
	Desktop    = "desktop"
)

// Browser families.
const (
	Chrome  = "chrome" // and other Chromium browsers without a family of their own
	Edge    = "edge"
	Firefox = "firefox"
	Safari  = "safari"
	Opera   = "opera"
	Samsung = "samsung"
	Other   = "other"
)

// Device returns the device class of a request: smartphone, tablet, mobile or
// desktop. User-Agent Client Hints decide if there are any, then User-Agent.
// Robots, televisions, and clients that do not say what they are count as desktop.
func Device(h http.Header) string {
	if class := hintedDevice(h); class != "" {
		return class
	}
	var scratch [maxUserAgent]byte
	ua := userAgent(lower(scratch[:0], first(h, "User-Agent")))
	switch {
	case ua.robot(), ua.has("smart-tv"), ua.has("smarttv"), ua.has("android tv"), ua.has("googletv"):
		return Desktop
	case ua.has("opera mini"), ua.has("kaios"), ua.has("midp"), ua.has("symbian"), ua.has("series40"), ua.has("up.browser"):
		return Mobile
	case ua.has("ipad"), ua.has("playbook"), ua.has("kindle"), ua.has("tablet") && !ua.has("tablet pc"):
		return Tablet
	case ua.has("iphone"), ua.has("ipod"), ua.has("windows phone"):
		return Smartphone
	case ua.has("android"):
		// A tablet's browser leaves "Mobile" out.
		if ua.has("mobile") {
			return Smartphone
		}
		return Tablet
	case ua.has("bb10"), ua.has("(mobile;"), ua.has("tizen") && ua.has("mobile"), ua.has("harmony") && ua.has("mobile"):
		return Smartphone
	case ua.has("mobi"), ua.has("phone"), ua.has("blackberry"), ua.has("nokia"):
		return Mobile
	default:
		return Desktop
	}
}

// hintedDevice returns "" when the hints do not decide.
func hintedDevice(h http.Header) string {
	form := ""
	eachString(h["Sec-Ch-Ua-Form-Factors"], func(factor string) {
		switch {
		case factor == "Tablet", form == Tablet:
			form = Tablet // what folds is a tablet first
		case factor == "Mobile":
			form = Smartphone
		case factor == "Watch" && form == "":
			form = Mobile
		case factor == "Desktop" && form == "":
			form = Desktop
		}
	})
	if form != "" {
		return form
	}
	platform := ""
	eachString(h["Sec-Ch-Ua-Platform"], func(name string) { platform = name })
	handheld := platform == "Android" || platform == "iOS"
	switch first(h, "Sec-Ch-Ua-Mobile") {
	case "?1":
		if handheld || platform == "" {
			return Smartphone
		}
		return Mobile
	case "?0":
		if handheld {
			return Tablet
		}
		return Desktop
	default:
		return ""
	}
}

// Browser returns the browser family of a request: chrome, edge, firefox, safari,
// opera, samsung or other. The brands of User-Agent Client Hints decide if there
// are any, then User-Agent.
func Browser(h http.Header) string {
	if family := hintedBrowser(h); family != "" {
		return family
	}
	var scratch [maxUserAgent]byte
	ua := userAgent(lower(scratch[:0], first(h, "User-Agent")))
	switch {
	case ua.robot():
		return Other
	// Most browsers also name those that they want to be taken for, so the order matters.
	case ua.has("edg/"), ua.has("edga/"), ua.has("edgios/"), ua.has("edge/"):
		return Edge
	case ua.has("opr/"), ua.has("opt/"), ua.has("opios/"), ua.has("opera"):
		return Opera
	case ua.has("samsungbrowser/"):
		return Samsung
	case ua.has("firefox/") && !ua.has("seamonkey/"), ua.has("fxios/"):
		return Firefox
	case ua.has("chrome/"), ua.has("crios/"), ua.has("chromium/"):
		return Chrome
	case ua.has("safari/") && ua.has("version/") && !ua.has("android"):
		return Safari
	default:
		return Other
	}
}

// hintedBrowser returns "" when the hints do not decide. Made-up brands, which
// browsers mix in, are ignored like unknown ones.
func hintedBrowser(h http.Header) string {
	family := ""
	eachString(h["Sec-Ch-Ua"], func(brand string) {
		switch {
		case brand == "Microsoft Edge":
			family = Edge
		case strings.HasPrefix(brand, "Opera"):
			family = Opera
		case brand == "Samsung Internet":
			family = Samsung
		case family == "" && (brand == "Google Chrome" || brand == "HeadlessChrome" || brand == "Chromium"):
			family = Chrome
		}
	})
	return family
}

// eachString calls visit for each member of a structured list that is a string,
// RFC 9651 3.1 and 3.3.3, and skips parameters and everything else.
func eachString(lines []string, visit func(string)) {
	for _, line := range lines {
		for line != "" {
			line = strings.TrimLeft(line, whitespace)
			if value, rest, ok := quoted(line); ok {
				visit(value)
				line = rest
			}
			line = nextMember(line)
		}
	}
}

// nextMember skips to behind the next comma that is not inside a string.
func nextMember(s string) string {
	for s != "" {
		switch s[0] {
		case ',':
			return s[1:]
		case '"':
			_, rest, ok := quoted(s)
			if !ok {
				return ""
			}
			s = rest
		default:
			s = s[1:]
		}
	}
	return ""
}

// quoted takes a string from the front of s. Escapes are left as they are: no name
// that is looked for has any.
func quoted(s string) (value, rest string, ok bool) {
	if s == "" || s[0] != '"' {
		return "", s, false
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return s[1:i], s[i+1:], true
		}
	}
	return "", s, false
}

// maxUserAgent is how much of a User-Agent is read, in bytes.
const maxUserAgent = 512

// userAgent is a User-Agent in lower case.
type userAgent []byte

func (ua userAgent) has(token string) bool { return bytes.Contains(ua, []byte(token)) }

func (ua userAgent) robot() bool {
	return ua.has("bot") && !ua.has("cubot") || // a brand of telephones
		ua.has("crawl") || ua.has("spider") || ua.has("slurp") || ua.has("externalhit")
}

func lower(b []byte, s string) []byte {
	for i := 0; i < min(len(s), maxUserAgent); i++ {
		c := s[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		b = append(b, c)
	}
	return b
}

func first(h http.Header, name string) string {
	if lines := h[name]; len(lines) > 0 {
		return strings.Trim(lines[0], whitespace)
	}
	return ""
}
