//! Requests from the broker, and the way of their answers back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::dispatch::{Arrived, Caller, ControlPlane, ReplyTo};
use super::request::{Refusal, Request};
use super::response_topic;
use crate::bridge::publisher::{IncomingRequest, PublisherHandle, Reply, RequestBody};
use crate::bridge::topics::Topic;
use crate::error::{Code, Layer, Report};

/// Serves requests until the publisher has ended.
pub async fn serve_mqtt(plane: Arc<ControlPlane>, mut requests: mpsc::Receiver<IncomingRequest>) {
    while let Some(incoming) = requests.recv().await {
        let (arrived, reply) = examine(&plane, incoming);
        plane.take(arrived, reply).await;
    }
}

fn examine(plane: &ControlPlane, incoming: IncomingRequest) -> (Arrived, ToTopics) {
    let current = plane.hub.current();
    let topics = current.outlet.topics();
    let mut reply = ToTopics {
        publisher: plane.hub.publisher.clone(),
        topics: vec![topics.response(&incoming.verb)],
        correlation_data: incoming.correlation_data,
    };
    let mut request = match &incoming.body {
        RequestBody::Payload(payload) => Request::parse(&incoming.verb, payload),
        RequestBody::TooLarge { size } => {
            let message = format!("the request has {size} bytes");
            Err(refused(None, Code::RequestTooLarge, &message))
        }
    };
    if incoming.retained {
        let message = "the request was retained: nobody knows how old it is";
        request = Err(refused(transaction(&request), Code::RequestRetained, message));
    } else if let Some(topic) = incoming.response_topic {
        if response_topic::is_allowed(&topic, &current.config.mqtt.response_topics, topics) {
            if topic.as_str() != &*reply.topics[0] {
                reply.topics.push(topic.as_str().into());
            }
        } else {
            let message = "the response topic of the request is not in mqtt.response_topics";
            request = Err(refused(transaction(&request), Code::ResponseTopicForbidden, message));
        }
    }
    let expiry = incoming.expiry_s.map(|seconds| Duration::from_secs(seconds.into()));
    (Arrived { verb: incoming.verb, request, caller: Caller::Mqtt, expiry }, reply)
}

fn transaction(request: &Result<Request, Refusal>) -> Option<String> {
    match request {
        Ok(request) => request.transaction.clone(),
        Err(refusal) => refusal.transaction.clone(),
    }
}

fn refused(transaction: Option<String>, code: Code, message: &str) -> Refusal {
    Refusal { transaction, report: Report::new(code, Layer::Control, message) }
}

/// The default response topic, and the one that the caller named.
struct ToTopics {
    publisher: PublisherHandle,
    topics: Vec<Topic>,
    correlation_data: Option<Bytes>,
}

impl ReplyTo for ToTopics {
    async fn reply(&self, answer: Bytes, until: Instant) -> Result<(), Report> {
        for topic in &self.topics {
            let reply = Reply {
                topic: Topic::clone(topic),
                payload: answer.clone(),
                deadline: until,
                correlation_data: self.correlation_data.clone(),
            };
            self.publisher.reply(reply).map_err(|error| error.report())?;
        }
        Ok(())
    }
}
