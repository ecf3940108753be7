{{- define "taskq.pod" -}}
# A pod needs nothing of the cluster: no right to ask it for anything, and no list of its services.
automountServiceAccountToken: false
enableServiceLinks: false
# Process 1 is the pod's own, which reaps what user code leaves behind. And a worker that is told to end before it
# listens ends at once: as process 1 it would not hear it.
shareProcessNamespace: true
securityContext:
  runAsNonRoot: true
  runAsUser: 1000
  runAsGroup: 1000
  fsGroup: 1000
  seccompProfile:
    type: RuntimeDefault
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "taskq.container" -}}
image: {{ .Values.image }}
imagePullPolicy: {{ .Values.imagePullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  privileged: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{- define "taskq.url" -}}
- name: TASKQ_URL
  valueFrom:
    secretKeyRef:
      name: {{ .Values.secret }}
      key: url
# A file, and no variable, which would be in whatever prints its environment.
- name: TASKQ_SECRET_KEY_FILE
  value: /run/secrets/taskq/secret-key
{{- end }}

{{- define "taskq.labels" -}}
app.kubernetes.io/name: taskq
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
