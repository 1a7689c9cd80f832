#!/usr/bin/env bash
# Tries weir on real traffic: Debian's nginx serves a documentation tree of some
# thousand files, and curl, wrk and headless Chromium ask for it with weir in between and
# without. The bytes must be equal, and the header fields where HTTP says so.
#
# It installs nothing: go, nginx, curl, wrk and chromium must be on the PATH.
set -euo pipefail
cd "$(dirname "$0")/../.."

seconds=${WRK_SECONDS:-5}

for tool in go nginx curl wrk chromium; do
    command -v "$tool" >/dev/null || { echo "run.sh: $tool is not on the PATH" >&2; exit 2; }
done
work=$(mktemp -d)
chmod 755 "$work" # nginx's workers are another user
failed=0

finish() {
    [ -z "${weir_pid:-}" ] || kill "$weir_pid" 2>/dev/null || true
    [ -z "${nginx_pid:-}" ] || kill "$nginx_pid" 2>/dev/null || true
    wait || true
    rm -rf "$work"
}
trap finish EXIT

section() { printf '\n== %s\n' "$*"; }

# row NAME COMMAND... prints what became of a command; a failure is counted.
row() {
    local name=$1
    shift
    if "$@"; then printf '%-52s ok\n' "$name"; else printf '%-52s DIFFERS\n' "$name"; failed=$((failed + 1)); fi
}

up() { # PID URL: waits until a server answers
    for _ in $(seq 300); do
        if curl -s -o /dev/null "$2"; then return; fi
        kill -0 "$1" || break
        sleep 0.1
    done
    echo "run.sh: $2 does not answer" >&2
    cat "$work/weir.log" "$work/nginx/error.log" >&2 || true
    exit 1
}

start_weir() {
    "$work/weir" serve --policy "$work/policy.json" --listen "$weir" --admin "$admin" --data "$work/data" \
        --log-level warn >>"$work/weir.log" 2>&1 &
    weir_pid=$!
    up "$weir_pid" "http://$admin/readyz"
}

section "the tree"
go build -o "$work/weir" ./cmd/weir
go build -o "$work/docs" ./bench/docs
read -r origin weir admin < <("$work/docs" ports)
"$work/docs" tree "$work/tree"
chmod -R a+rX "$work/tree"
mkdir "$work/nginx"
cat >"$work/nginx.conf" <<CONF
worker_processes 1;
daemon off;
pid nginx/pid;
error_log nginx/error.log;
events { worker_connections 1024; }
http {
    include /etc/nginx/mime.types;
    default_type text/plain;
    log_format via '\$http_via \$status \$request';
    access_log nginx/access.log via;
    client_body_temp_path nginx/body; proxy_temp_path nginx/proxy; fastcgi_temp_path nginx/fastcgi;
    uwsgi_temp_path nginx/uwsgi; scgi_temp_path nginx/scgi;
    sendfile on;
    server { listen $origin; root tree; index index.html; }
}
CONF
nginx -p "$work/" -c "$work/nginx.conf" -e "$work/nginx/start.log" &
nginx_pid=$!
up "$nginx_pid" "http://$origin/"

cat >"$work/policy.json" <<POLICY
{
  "origins": { "docs": { "url": "http://$origin" } },
  "defaults": { "origin": "docs" },
  "routes": [
    { "name": "assets", "match": { "path": "/site.css" }, "edge": { "maxAgeSeconds": 86400 } },
    { "name": "pages", "match": { "path": "/*" },
      "edge": { "maxAgeSeconds": 3600, "staleWhileRevalidateSeconds": 600 } }
  ]
}
POLICY
"$work/weir" policy check "$work/policy.json"
start_weir

section "every file, with and without weir"
compare() { "$work/docs" compare -tree "$work/tree" "$@" "http://$origin" "http://$weir" || failed=$((failed + 1)); }
compare -name cold -expect miss
compare -name warm -expect hit
asked=$(grep -c weir "$work/nginx/access.log")
kill -9 "$weir_pid" && wait "$weir_pid" 2>/dev/null || true
start_weir
compare -name "warm, after kill -9" -expect hit
compare -name "gzip, from the same objects" -coded -expect hit
compare -name "gzip again" -coded -expect hit
echo "nginx was asked $asked times by weir in the cold pass, $(($(grep -c weir "$work/nginx/access.log") - asked)) times after it"

section "curl: conditional and range requests"
# The fields that a cache adds, and those of the connection.
own='(date|age|via|x-cache|x-cache-tier|x-caching-status|cache-status|connection|keep-alive):|vary: accept-encoding'
fetch() { # SERVER OUT TARGET CURL-ARGUMENTS...
    local server=$1 out=$2 target=$3
    shift 3
    curl -s -H 'Host: docs.test' -D "$out.raw" -o "$out.body" "$@" "http://$server$target"
    touch "$out.body"
    # curl -I writes the head where the body goes.
    if head -c 5 "$out.body" | grep -q '^HTTP/'; then : >"$out.body"; fi
    tr -d '\r' <"$out.raw" | grep -viE "^($own)" | tr '[:upper:]' '[:lower:]' | sort >"$out.head"
    # RFC 9110 14.3 lets a server say Accept-Ranges wherever it likes.
    if ! grep -q '^http/1.1 200' "$out.head"; then sed -i '/^accept-ranges:/d' "$out.head"; fi
}
both() { # TARGET CURL-ARGUMENTS...
    rm -f "$work"/[ab].*
    fetch "$origin" "$work/a" "$@"
    fetch "$weir" "$work/b" "$@"
}
# same: status, fields and body are equal.
same() { both "$@" && diff "$work/a.head" "$work/b.head" && cmp "$work/a.body" "$work/b.body"; }
# alike: so are status and Content-Range. An error page is of the one who speaks.
alike() { both "$@" && diff <(grep -E '^(http|content-range)' "$work/a.head") <(grep -E '^(http|content-range)' "$work/b.head"); }
# says STATUS TARGET ...: weir follows HTTP where nginx does not.
says() { local status=$1 && shift && both "$@" && grep -q "^http/1.1 $status" "$work/b.head"; }
page=/net/http/server.go
etag=$(curl -sI "http://$origin$page" | tr -d '\r' | sed -n 's/^ETag: //ip')
modified=$(curl -sI "http://$origin$page" | tr -d '\r' | sed -n 's/^Last-Modified: //ip')
row "plain" same $page
row "HEAD" same $page -I
row "HEAD of a file not asked for before" same /net/../net/http/client.go --path-as-is -I
row "folder without its slash: 301" same /net
row "folder" same /net/
row "missing file: 404" same /missing
row "If-None-Match that holds: 304" same $page -H "If-None-Match: $etag"
row "If-None-Match, weak, in a list: 304" same $page -H "If-None-Match: \"x\", W/$etag"
row "If-None-Match of another: 200" same $page -H 'If-None-Match: "x"'
row "If-None-Match: *: 304" same $page -H 'If-None-Match: *'
row "If-Modified-Since that holds: 304" same $page -H "If-Modified-Since: $modified"
row "If-Modified-Since of old: 200" same $page -H 'If-Modified-Since: Thu, 01 Jan 1998 00:00:00 GMT'
row "If-Match that holds: 200" same $page -H "If-Match: $etag"
row "If-Match of another: 412" alike $page -H 'If-Match: "x"'
row "If-Unmodified-Since of old: 412" alike $page -H 'If-Unmodified-Since: Thu, 01 Jan 1998 00:00:00 GMT'
row "Range, first 100 bytes: 206" same $page -H 'Range: bytes=0-99'
row "Range, one byte in the middle: 206" same $page -H 'Range: bytes=5000-5000'
row "Range, from the middle: 206" same $page -H 'Range: bytes=100000-'
row "Range, last 100 bytes: 206" same $page -H 'Range: bytes=-100'
row "Range over the end: 206" same $page -H 'Range: bytes=100000-99999999'
row "Range beyond the end: 416" alike $page -H 'Range: bytes=99999999-'
row "Range in another unit: 200" same $page -H 'Range: lines=0-9'
row "Range that is malformed: ignored, 200" says 200 $page -H 'Range: bytes=9-0'
row "If-Range that holds: 206" same $page -H 'Range: bytes=0-99' -H "If-Range: $etag"
row "If-Range of another: 200" same $page -H 'Range: bytes=0-99' -H 'If-Range: "x"'
row "If-Range with a date: 206" same $page -H 'Range: bytes=0-99' -H "If-Range: $modified"
row "Range on a miss: 206" same "/net/http/fs.go?$$" -H 'Range: bytes=10-19'

section "headless Chromium: a page, its style, script and picture"
browse() { # SERVER TARGET OUT
    # A new profile each time: nothing comes out of the browser's own cache.
    chromium --headless --no-sandbox --disable-gpu --disable-background-networking \
        --user-data-dir="$(mktemp -d -p "$work")" --dump-dom "http://$1$2" >"$3" 2>"$work/chromium.log"
}
looks_same() {
    browse "$origin" "$1" "$work/a.dom" && browse "$weir" "$1" "$work/b.dom" &&
        grep -q 'picture 64x48, style rgb(1, 2, 3)' "$work/b.dom" && cmp "$work/a.dom" "$work/b.dom"
}
for target in / /net/http/ /crypto/tls/ /go/ast/; do row "$target" looks_same "$target"; done

section "wrk: $seconds s on one page, 64 connections"
for server in "$origin" "$weir"; do
    [ "$server" = "$origin" ] && name="nginx, serving the file" || name="weir, hits"
    wrk -t1 -c64 -d"${seconds}s" "http://$server/net/http/" >"$work/wrk"
    printf '%-28s %s requests/s\n' "$name" "$(awk '/Requests\/sec/ {print $2}' "$work/wrk")"
    if grep -E 'Non-2xx|Socket errors' "$work/wrk"; then failed=$((failed + 1)); fi
done

section "weir's log"
cat "$work/weir.log"
[ "$failed" = 0 ] || { printf '\n%d checks failed\n' "$failed"; exit 1; }
printf '\nAll answers are equal.\n'
