#!/usr/bin/env bash
# Starts an origin, a shield and three regions on this machine as plain processes on loopback,
# walks through a miss, hits and purges, and ends what it started. Exit status 1 when a step
# does not go as it should. Needs Go, bash and curl.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
pids=()
finish() {
	status=$?
	for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
	for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
	if [ "$status" -ne 0 ]; then tail -n 5 "$work"/*.log >&2 || true; fi
	rm -rf "$work"
	exit "$status"
}
trap finish EXIT

fail() { echo "NOT AS EXPECTED: $*" >&2; exit 1; }

# start NAME WORD COMMAND...: runs a command and waits until a line of its output begins with WORD.
start() {
	local name=$1 word=$2
	shift 2
	: >"$work/$name.out"
	"$@" >"$work/$name.out" 2>"$work/$name.log" &
	pids+=($!)
	for _ in $(seq 200); do
		grep -q "^$word " "$work/$name.out" && return
		kill -0 "${pids[-1]}" 2>/dev/null || fail "$name ended"
		sleep 0.05
	done
	fail "$name does not start"
}

# at NAME WORD: an address that NAME printed behind WORD.
at() { sed -n "s|^$2 *\(https\{0,1\}://[^/, ]*[0-9]\).*|\1|p" "$work/$1.out"; }

# expect REGION PATH USE TIERS BODY: asks an edge, and says what came.
expect() {
	local got use tiers status body
	got=$(curl -sS -i -H 'Host: shop.example' "$(at "$1" clients)$2" | tr -d '\r')
	use=$(sed -n 's/^X-Cache: //p' <<<"$got")
	tiers=$(sed -n 's/^X-Cache-Tier: //p' <<<"$got")
	status=$(sed -n 's/^Cache-Status: //p' <<<"$got")
	body=$(tail -n 1 <<<"$got")
	printf '%-4s GET %-14s x-cache: %-6s  x-cache-tier: %-22s %s\n%24s%s\n' "$1" "$2" "$use" "$tiers" "$body" "" "cache-status: $status"
	[ "$use" = "$3" ] && [ "$tiers" = "$4" ] && [ "$body" = "$5" ] || fail "wanted x-cache: $3, x-cache-tier: $4, $5"
}

# purge NODE FLAGS...: purges through the admin listener of a node.
purge() {
	local node=$1 out
	shift
	echo "weir purge $* (at $node)"
	out=$("$work/weir" purge --admin "$(at "$node" admin)" "$@")
	sed 's/^/    /' <<<"$out"
	for region in fra lhr nrt; do grep -q "$region after" <<<"$out" || fail "$region has not applied the purge"; done
}

echo "building"
go build -o "$work/weir" ./cmd/weir
go build -o "$work/origin" ./deploy/origin
WEIR_PEER_SECRET=$(od -An -tx1 -N32 /dev/urandom | tr -d ' \n')
export WEIR_PEER_SECRET

start origin origin "$work/origin" --listen 127.0.0.1:0
sed "s|http://origin:3000|$(at origin origin)|" deploy/regions.json >"$work/policy.json"
serve=("$work/weir" serve --policy "$work/policy.json" --admin 127.0.0.1:0)
start shield edges "${serve[@]}" --role shield --peer-listen 127.0.0.1:0 --data "$work/data"
for region in fra lhr nrt; do
	start "$region" clients "${serve[@]}" --role edge --region "$region" --listen 127.0.0.1:0 --shield "$(at shield edges)"
done

echo; echo "A miss asks the origin once; other regions find it in the shield."
page=/products/7
expect fra $page miss 'oc=cached, sc=cached' "$page, answer 1 of the origin"
sleep 0.5 # until the fill is on disk
expect fra $page hit 'oc=hit' "$page, answer 1 of the origin"
expect lhr $page hit 'oc=cached, sc=hit' "$page, answer 1 of the origin"
expect nrt $page hit 'oc=cached, sc=hit' "$page, answer 1 of the origin"
expect nrt $page hit 'oc=hit' "$page, answer 1 of the origin"

echo; echo "A purge by tag, given to an edge, holds everywhere when it is answered."
purge lhr --tag product:7
expect nrt $page miss 'oc=cached, sc=cached' "$page, answer 2 of the origin"
sleep 0.5
expect fra $page hit 'oc=cached, sc=hit' "$page, answer 2 of the origin"
expect lhr $page hit 'oc=cached, sc=hit' "$page, answer 2 of the origin"

echo; echo "A purge of another page leaves it alone."
purge shield --url http://shop.example/products/8
expect fra $page hit 'oc=hit' "$page, answer 2 of the origin"

echo; echo "After a soft purge the old page is served once more, and refreshed behind it."
purge shield --soft --prefix http://shop.example/products/
expect fra $page stale 'oc=hit' "$page, answer 2 of the origin"
sleep 0.5
expect fra $page hit 'oc=hit' "$page, answer 3 of the origin"

echo; echo "A route of one region is passed by the others."
expect fra /local/a miss 'oc=cached, sc=cached' "/local/a, answer 1 of the origin"
expect lhr /local/a bypass 'oc=pass, sc=pass' "/local/a, answer 2 of the origin"

echo; echo "All as expected."
