{{/* A duration such as "30s" in whole seconds, rounded up: (list "config.drain.window" "30s"). */}}
{{- define "game-gateway.seconds" -}}
{{- $text := toString (index . 1) -}}
{{- if not (regexMatch "^(0|[0-9]{1,9}(ms|s|m|h))$" $text) -}}
{{- fail (printf "%s: invalid duration %q, expected e.g. 500ms, 30s, 5m or 1h" (index . 0) $text) -}}
{{- end -}}
{{- $number := regexFind "^[0-9]+" $text | atoi -}}
{{- $unit := regexFind "[a-z]*$" $text -}}
{{- if eq $unit "h" -}}{{ mul $number 3600 }}
{{- else if eq $unit "m" -}}{{ mul $number 60 }}
{{- else if eq $unit "ms" -}}{{ div (add $number 999) 1000 }}
{{- else -}}{{ $number }}
{{- end -}}
{{- end -}}

{{/* Maximum time from SIGTERM to the end of the program, without the sleep before it. */}}
{{- define "game-gateway.neededGrace" -}}
{{- $window := dig "drain" "window" "30s" .Values.config -}}
{{- $seconds := include "game-gateway.seconds" (list "config.drain.window" $window) | int -}}
{{- add $seconds .Values.drain.preStopSleepSeconds .Values.drain.marginSeconds -}}
{{- end -}}

{{- define "game-gateway.grace" -}}
{{- $needed := include "game-gateway.neededGrace" . -}}
{{- $given := toString .Values.terminationGracePeriodSeconds -}}
{{- if eq $given "" -}}
{{- $needed -}}
{{- else -}}
{{- int $given -}}
{{- end -}}
{{- end -}}

{{/* How gateways replace each other. Where two cannot be on one node, the old one goes first. */}}
{{- define "game-gateway.rolling" -}}
{{- $rolling := .Values.updateStrategy.rollingUpdate -}}
{{- $surge := toString $rolling.maxSurge -}}
{{- $missing := toString $rolling.maxUnavailable -}}
{{- if eq $surge "" }}{{ $surge = ternary "0" (ternary "0" "100%" .Values.hostNetwork) (not (has $missing (list "" "0" "0%"))) }}{{ end -}}
{{- if eq $missing "" }}{{ $missing = ternary "1" "0" (has $surge (list "0" "0%")) }}{{ end -}}
maxSurge: {{ $surge }}
maxUnavailable: {{ $missing }}
{{- end -}}
