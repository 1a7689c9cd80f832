vcl 4.1;

import std;

backend origin {
    .host = "127.0.0.1";
    .port = "8000";
}

sub vcl_recv {
    set req.http.Surrogate-Capability = {"varnish="Surrogate/1.0""};
    if (req.http.Accept-Language) {
        set req.http.Accept-Language = regsuball(std.tolower(req.http.Accept-Language), "\s", "");
    }
    if (req.method != "GET" && req.method != "HEAD") {
        return (pass);
    }
    # Cookies and credentials do not keep a response from being stored by themselves;
    # vcl_backend_response looks at what the origin allows.
    return (hash);
}

sub vcl_backend_response {
    # RFC 9111 4.4: an unsafe request that succeeded invalidates its target, and what
    # Location and Content-Location name.
    if (bereq.method !~ "^(GET|HEAD|OPTIONS|TRACE)$" && beresp.status < 400) {
        ban("obj.http.x-url == " + bereq.url);
        if (beresp.http.Location) {
            ban("obj.http.x-url == " + regsub(beresp.http.Location, "^https?://[^/]+", ""));
        }
        if (beresp.http.Content-Location) {
            ban("obj.http.x-url == " + regsub(beresp.http.Content-Location, "^https?://[^/]+", ""));
        }
    }
    if (bereq.uncacheable) {
        return (deliver);
    }
    set beresp.http.x-url = bereq.url;

    if (beresp.http.Vary ~ "\*" ||
        (beresp.http.Surrogate-Control ~ "(?i)no-store") ||
        (!beresp.http.Surrogate-Control && beresp.http.Cache-Control ~ "(?i)\b(no-store|private)\b") ||
        (bereq.http.Authorization && beresp.http.Cache-Control !~ "(?i)(public|must-revalidate|s-maxage)")) {
        set beresp.uncacheable = true;
        set beresp.ttl = 0s;
        return (deliver);
    }
    if (beresp.http.Surrogate-Control ~ "(?i)max-age=\d+") {
        set beresp.uncacheable = false;
        set beresp.ttl = std.duration(regsub(beresp.http.Surrogate-Control, "(?i)^.*max-age=(\d{1,9}).*$", "\1s"), 0s);
        set beresp.ttl = beresp.ttl - std.duration(beresp.http.Age + "s", 0s);
    } else if (beresp.http.Cache-Control ~ "(?i)\bno-cache\b") {
        # Stored to be revalidated.
        set beresp.uncacheable = false;
        set beresp.ttl = 1ms;
    } else if (beresp.http.Cache-Control ~ "(?i)(^|[\s,])(s-maxage|max-age)=" || beresp.http.Expires) {
        # Varnish computes these itself, but not for every status.
        if ("" + beresp.status !~ "^(200|203|204|300|301|302|304|307|404|410|414)$") {
            set beresp.uncacheable = false;
            if (beresp.http.Cache-Control ~ "(?i)(^|[\s,])max-age=") {
                set beresp.ttl = std.duration(regsub(beresp.http.Cache-Control, "(?i)^.*max-age=(\d{1,9}).*$", "\1s"), 0s);
            } else {
                set beresp.ttl = std.time(beresp.http.Expires, now) - now;
            }
        }
    } else if (beresp.http.Last-Modified && "" + beresp.status ~ "^(200|203|204|300|301|404|405|410|414|501)$") {
        # RFC 9111 4.2.2: a tenth of the age.
        set beresp.uncacheable = false;
        set beresp.ttl = (now - std.time(beresp.http.Last-Modified, now)) * 0.1;
    }
    return (deliver);
}

sub vcl_deliver {
    unset resp.http.x-url;
}
