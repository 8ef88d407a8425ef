# redis WORD...: sends a command and sets answer; 75 (it could not tell) where there is no answer.
redis() {
  exec 3<>"/dev/tcp/${NEMESIS_ADDRESS%:*}/${NEMESIS_ADDRESS##*:}" || exit 75
  echo "$@" >&3
  IFS= read -r -t 3 answer <&3 || exit 75
  answer=${answer%$'\r'}
  exec 3>&-
  [[ $answer != -* ]] || { echo "$answer"; exit 75; }
}
