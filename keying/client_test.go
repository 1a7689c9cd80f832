package keying_test

import (
	"net/http"
	"strings"
	"testing"

	"weir/keying"
)

func TestUserAgents(t *testing.T) {
	tests := []struct{ ua, device, browser string }{
		{"", keying.Desktop, keying.Other},
		{"curl/8.5.0", keying.Desktop, keying.Other},
		{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36", keying.Desktop, keying.Chrome},
		{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0", keying.Desktop, keying.Edge},
		{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/125.0.0.0 Safari/537.36 OPR/111.0.0.0", keying.Desktop, keying.Opera},
		{"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/126.0.0.0 Safari/537.36", keying.Desktop, keying.Chrome},
		{"Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0", keying.Desktop, keying.Firefox},
		{"Mozilla/5.0 (Macintosh; Intel Mac OS X 14_5) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Safari/605.1.15", keying.Desktop, keying.Safari},
		{"Mozilla/5.0 (compatible; MSIE 9.0; Windows NT 6.1; Tablet PC 2.0)", keying.Desktop, keying.Other},
		{"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 Mobile/15E148 Safari/604.1", keying.Smartphone, keying.Safari},
		{"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/126.0 Mobile/15E148 Safari/604.1", keying.Smartphone, keying.Chrome},
		{"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) FxiOS/127.0 Mobile/15E148 Safari/605.1.15", keying.Smartphone, keying.Firefox},
		{"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 EdgiOS/126.0 Mobile/15E148 Safari/605.1.15", keying.Smartphone, keying.Edge},
		{"Mozilla/5.0 (iPad; CPU OS 12_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/12.1 Mobile/15E148 Safari/604.1", keying.Tablet, keying.Safari},
		{"Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Mobile Safari/537.36", keying.Smartphone, keying.Chrome},
		{"Mozilla/5.0 (Linux; Android 14; SM-S921B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/25.0 Chrome/121.0.0.0 Mobile Safari/537.36", keying.Smartphone, keying.Samsung},
		{"Mozilla/5.0 (Linux; Android 13; SM-X906C) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36", keying.Tablet, keying.Chrome},
		{"Mozilla/5.0 (Android 14; Tablet; rv:127.0) Gecko/127.0 Firefox/127.0", keying.Tablet, keying.Firefox},
		{"Mozilla/5.0 (Android 14; Mobile; rv:127.0) Gecko/127.0 Firefox/127.0", keying.Smartphone, keying.Firefox},
		{"Mozilla/5.0 (Linux; Android 9; CUBOT_X19) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/86.0 Mobile Safari/537.36", keying.Smartphone, keying.Chrome},
		{"Mozilla/5.0 (Linux; Android 12; BRAVIA 4K Android TV) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/100.0 Safari/537.36", keying.Desktop, keying.Chrome},
		{"Mozilla/5.0 (Linux; U; Android 4.0; en-us) AppleWebKit/534.30 (KHTML, like Gecko) Version/4.0 Mobile Safari/534.30", keying.Smartphone, keying.Other},
		{"Mozilla/5.0 (Windows Phone 10.0; Android 6.0.1; Microsoft; Lumia 950) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/52.0 Mobile Safari/537.36 Edge/15.15063", keying.Smartphone, keying.Edge},
		{"Mozilla/5.0 (BB10; Touch) AppleWebKit/537.10+ (KHTML, like Gecko) Version/10.0 Mobile Safari/537.10+", keying.Smartphone, keying.Safari},
		{"Opera/9.80 (Android; Opera Mini/36.2/119.132; U; en) Presto/2.12.423 Version/12.16", keying.Mobile, keying.Opera},
		{"Mozilla/5.0 (Mobile; Nokia_8110_4G; rv:48.0) Gecko/48.0 Firefox/48.0 KAIOS/2.5", keying.Mobile, keying.Firefox},
		{"Nokia6300/2.0 (05.00) Profile/MIDP-2.0 Configuration/CLDC-1.1", keying.Mobile, keying.Other},
		{"BlackBerry9700/5.0.0.862 Profile/MIDP-2.1", keying.Mobile, keying.Other},
		{"Mozilla/5.0 (Linux; Android 6.0.1; Nexus 5X) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0 Mobile Safari/537.36 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", keying.Desktop, keying.Other},
		{"Mozilla/5.0 (iPhone; CPU iPhone OS 7_0 like Mac OS X) (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", keying.Desktop, keying.Other},
		{strings.Repeat("x", 1000) + "iPhone", keying.Desktop, keying.Other}, // past what is read
	}
	for _, tt := range tests {
		h := http.Header{"User-Agent": {tt.ua}}
		if got := keying.Device(h); got != tt.device {
			t.Errorf("Device(%q) = %q, want %q", tt.ua, got, tt.device)
		}
		if got := keying.Browser(h); got != tt.browser {
			t.Errorf("Browser(%q) = %q, want %q", tt.ua, got, tt.browser)
		}
	}
}

func TestClientHintsComeFirst(t *testing.T) {
	const iphone = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) Version/17.5 Mobile/15E148 Safari/604.1"
	tests := []struct{ brands, mobile, platform, form, device, browser string }{
		{"", "", "", "", keying.Smartphone, keying.Safari},
		{`"Chromium";v="126", "Google Chrome";v="126", "Not/A)Brand";v="8"`, "?0", `"Windows"`, "", keying.Desktop, keying.Chrome},
		{`"Not;A=Brand, \"x\"";v="8", "Chromium";v="126", "Microsoft Edge";v="126"`, "?1", `"Android"`, "", keying.Smartphone, keying.Edge},
		{`"Opera";v="111", "Chromium";v="125"`, "?0", `"Android"`, "", keying.Tablet, keying.Opera},
		{`"Chromium";v="121", "Samsung Internet";v="25.0"`, "?1", "", "", keying.Smartphone, keying.Samsung},
		{`"Chromium";v="121", "Brave";v="121"`, "?1", `"Unknown"`, "", keying.Mobile, keying.Chrome},
		{`"Made Up";v="1"`, "?2", "", "", keying.Smartphone, keying.Safari},
		{`"Chromium`, "1", "", `"XR"`, keying.Smartphone, keying.Safari},
		{`x, ;"Opera", "Chromium"`, "", "", `"Desktop"`, keying.Desktop, keying.Chrome},
		{"", "?1", `"Android"`, `"Mobile", "Tablet"`, keying.Tablet, keying.Safari},
		{"", "?0", `"Android"`, `"Mobile";x="Tablet"`, keying.Smartphone, keying.Safari},
		{"", "?1", `"Android"`, `"Watch"`, keying.Mobile, keying.Safari},
	}
	for _, tt := range tests {
		h := http.Header{}
		h.Set("User-Agent", iphone)
		for name, value := range map[string]string{
			"Sec-CH-UA": tt.brands, "Sec-CH-UA-Mobile": tt.mobile,
			"Sec-CH-UA-Platform": tt.platform, "Sec-CH-UA-Form-Factors": tt.form,
		} {
			if value != "" {
				h.Set(name, value)
			}
		}
		if got := keying.Device(h); got != tt.device {
			t.Errorf("Device(%+v) = %q", tt, got)
		}
		if got := keying.Browser(h); got != tt.browser {
			t.Errorf("Browser(%+v) = %q", tt, got)
		}
	}
}
