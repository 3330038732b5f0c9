"""An MQTT client (Eclipse paho) driven by lines: one JSON object in, one a message out.

In:  {"topic": …, "payload": text | {"hex": …}, "retain": bool, "response_topic": …, "correlation": hex, "expiry": s}
Out: {"ready": true}, {"sent": n} after each publish is confirmed, {"topic", "payload", "retain", "correlation"}
"""

import argparse
import json
import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

lock = threading.Lock()


def say(message):
    with lock:
        sys.stdout.write(json.dumps(message) + "\n")
        sys.stdout.flush()


def on_message(_client, _userdata, message):
    correlation = getattr(message.properties, "CorrelationData", None) if message.properties else None
    say({
        "topic": message.topic,
        "payload": message.payload.decode("utf-8", "replace"),
        "retain": message.retain,
        "correlation": correlation.hex() if correlation is not None else None,
    })


def properties(command):
    found = Properties(PacketTypes.PUBLISH)
    if "response_topic" in command:
        found.ResponseTopic = command["response_topic"]
    if "correlation" in command:
        found.CorrelationData = bytes.fromhex(command["correlation"])
    if "expiry" in command:
        found.MessageExpiryInterval = command["expiry"]
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--version", choices=["3.1.1", "5"], required=True)
    parser.add_argument("--user")
    parser.add_argument("--password")
    parser.add_argument("filters", nargs="+")
    arguments = parser.parse_args()
    is_5 = arguments.version == "5"
    client = mqtt.Client(
        mqtt.CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5 if is_5 else mqtt.MQTTv311
    )
    if arguments.user:
        client.username_pw_set(arguments.user, arguments.password)
    client.on_message = on_message
    client.on_connect = lambda c, *_: c.subscribe([(name, 1) for name in arguments.filters])
    client.on_subscribe = lambda *_: say({"ready": True})
    client.connect("127.0.0.1", arguments.port)
    client.loop_start()
    for count, line in enumerate(sys.stdin):
        command = json.loads(line)
        payload = command["payload"]
        payload = bytes.fromhex(payload["hex"]) if isinstance(payload, dict) else payload.encode()
        published = client.publish(
            command["topic"], payload, qos=1, retain=command.get("retain", False),
            properties=properties(command) if is_5 else None,
        )
        published.wait_for_publish(20)
        say({"sent": count})
    client.disconnect()


main()
