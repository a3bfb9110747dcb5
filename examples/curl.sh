#!/bin/sh
# Ask a running `busduct serve` with curl alone: health, a whole reply, a stream.
#
#     busduct serve
#     sh examples/curl.sh http://127.0.0.1:8000
set -eu
url=${1:-http://127.0.0.1:8000}
model=$(curl -fsS "$url/v1/models" | sed 's/.*"id":"\([^"]*\)".*/\1/')

curl -fsS "$url/health"
echo
curl -fsS "$url/v1/completions" -H 'content-type: application/json' \
    -d "{\"model\": \"$model\", \"prompt\": \"The sea\", \"max_tokens\": 16}"
echo
curl -fsSN "$url/v1/chat/completions" -H 'content-type: application/json' \
    -d "{\"model\": \"$model\", \"max_tokens\": 16, \"stream\": true,
         \"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}]}"
