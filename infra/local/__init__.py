"""The local cloud: any Chalice app comes in; REST, WebSocket, queues and schedules run as on AWS."""
