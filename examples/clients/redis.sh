#!/usr/bin/env bash
# A client of Redis for nemesis (nemesis-client/1): registers without compare-and-set. Each process
# is a subshell with a connection of its own. It needs bash and jq, and is as slow as that sounds.
set -u
read -r hello
node_addr() { jq -r --arg n "$1" '.nodes[] | select(.id == $n) | "\(.addr) \(.ports.client)"' <<<"$hello"; }
say() { printf '%s\n' "$1"; } # one short write: lines of several subshells do not mix

# process performs the operations that arrive on its input.
process() {
  local at="" op id node f key value ms line size
  while read -r op; do
    IFS=$'\t' read -r id node f key value ms < <(jq -r '[.id, .node, .f, .key // "", .value // "-", .timeout_ms] | map(tostring) | @tsv' <<<"$op")
    case $f in read | write) ;; *) say "{\"id\":$id,\"type\":\"fail\",\"code\":10}"; continue ;; esac
    if [ "$at" != "$node" ]; then
      read -r host port < <(node_addr "$node")
      if ! { exec 3<>"/dev/tcp/$host/$port"; } 2>/dev/null; then
        say "{\"id\":$id,\"type\":\"fail\",\"code\":11,\"text\":\"connection refused\"}"; at=""; continue
      fi
      at=$node
    fi
    if [ "$f" = read ]; then printf 'GET %s\r\n' "$key"; else printf 'SET %s %s\r\n' "$key" "$value"; fi >&3 2>/dev/null
    if ! read -r -t "$((ms / 1000)).$(printf %03d $((ms % 1000)))" line <&3; then
      say "{\"id\":$id,\"type\":\"info\",\"code\":0}"; exec 3>&-; at=""; continue
    fi
    line=${line%$'\r'}
    case $line in
      +OK) say "{\"id\":$id,\"type\":\"ok\"}" ;;
      '$-1') say "{\"id\":$id,\"type\":\"ok\",\"value\":null}" ;;
      '$'*) read -r -t 1 line <&3 && say "{\"id\":$id,\"type\":\"ok\",\"value\":${line%$'\r'}}" ;;
      -READONLY* | -LOADING*) say "{\"id\":$id,\"type\":\"fail\",\"code\":11}" ;;
      *) say "{\"id\":$id,\"type\":\"info\",\"code\":13}"; exec 3>&-; at="" ;;
    esac
  done
}

say '{"ready":true,"ops":["read","write"]}'
declare -A inputs
while read -r line; do
  p=$(jq '.p // .close' <<<"$line")
  if [ "$(jq 'has("close")' <<<"$line")" = true ]; then
    [ -n "${inputs[$p]:-}" ] && { fd=${inputs[$p]}; exec {fd}>&-; unset "inputs[$p]"; }
    continue
  fi
  if [ -z "${inputs[$p]:-}" ]; then
    exec {fd}> >(process)
    inputs[$p]=$fd
  fi
  printf '%s\n' "$line" >&"${inputs[$p]}"
done
