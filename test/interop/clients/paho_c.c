/* Paho for C under the command line of test/system/lib/interop.py. */
#include <MQTTClient.h>

#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PAYLOAD_MAX = 65536, ANSWER_MS = 10000 };

static volatile int refused;

static int on_message(void *context, char *topic, int topic_len, MQTTClient_message *message)
{
    const unsigned char *payload = message->payload;

    (void)context;
    (void)topic_len;
    printf("MESSAGE %s ", topic);
    for (int i = 0; i < message->payloadlen; i++)
        printf("%02x", payload[i]);
    printf(" %d\n", message->qos);
    fflush(stdout);
    MQTTClient_freeMessage(&message);
    MQTTClient_free(topic);
    return 1;
}

static void on_lost(void *context, char *cause)
{
    (void)context;
    (void)cause;
    printf("CLOSED\n");
    fflush(stdout);
    _exit(0);
}

static void on_published(void *context, int token, int packet_type, MQTTProperties *properties,
                         enum MQTTReasonCodes reason)
{
    (void)context;
    (void)token;
    (void)packet_type;
    (void)properties;
    refused = reason >= 0x80;
}

static int say(const char *what)
{
    printf("%s\n", what);
    fflush(stdout);
    return 0;
}

struct wanted {
    const char *version, *port, *ca, *cert, *key, *id, *qos, *topic, *file;
};

static int qos_of(const struct wanted *w)
{
    return w->qos[0] - '0';
}

static int connect_client(MQTTClient client, const struct wanted *w)
{
    MQTTClient_connectOptions plain = MQTTClient_connectOptions_initializer;
    MQTTClient_connectOptions five = MQTTClient_connectOptions_initializer5;
    MQTTClient_connectOptions *options = strcmp(w->version, "5") == 0 ? &five : &plain;
    MQTTClient_SSLOptions tls = MQTTClient_SSLOptions_initializer;

    tls.trustStore = w->ca;
    tls.keyStore = w->cert;
    tls.privateKey = w->key;
    tls.enableServerCertAuth = 1;
    tls.verify = 1;
    options->ssl = &tls;
    options->keepAliveInterval = 30;
    if (options == &five) {
        MQTTResponse response = MQTTClient_connect5(client, options, NULL, NULL);
        int code = response.reasonCode;

        MQTTResponse_free(response);
        return code;
    }
    plain.MQTTVersion = MQTTVERSION_3_1_1;
    plain.cleansession = 1;
    return MQTTClient_connect(client, options);
}

static void subscribe(MQTTClient client, const struct wanted *w)
{
    int code;

    if (strcmp(w->version, "5") == 0) {
        MQTTResponse response = MQTTClient_subscribe5(client, w->topic, qos_of(w), NULL, NULL);

        code = response.reasonCode;
        MQTTResponse_free(response);
    } else {
        code = MQTTClient_subscribe(client, w->topic, qos_of(w));
        if (code == MQTTCLIENT_SUCCESS) /* 3.1.1: the granted QoS is not shown */
            code = qos_of(w);
    }
    printf("SUBSCRIBED %d\n", code < 0 ? 128 : code);
    fflush(stdout);
    for (;;)
        pause();
}

static int publish(MQTTClient client, const struct wanted *w)
{
    static unsigned char payload[PAYLOAD_MAX];
    MQTTClient_message message = MQTTClient_message_initializer;
    MQTTClient_deliveryToken token = 0;
    FILE *file = fopen(w->file, "rb");
    int code;

    if (!file)
        return 1;
    message.payload = payload;
    message.payloadlen = (int)fread(payload, 1, sizeof payload, file);
    message.qos = qos_of(w);
    fclose(file);
    if (strcmp(w->version, "5") == 0) {
        MQTTResponse response = MQTTClient_publishMessage5(client, w->topic, &message, &token);

        code = response.reasonCode;
        MQTTResponse_free(response);
    } else {
        code = MQTTClient_publishMessage(client, w->topic, &message, &token);
    }
    if (code == MQTTCLIENT_SUCCESS)
        code = MQTTClient_waitForCompletion(client, token, ANSWER_MS);
    if (code != MQTTCLIENT_SUCCESS)
        return say("CLOSED");
    say(refused ? "REFUSED" : "PUBLISHED");
    return MQTTClient_disconnect(client, 1000);
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"version", 1, NULL, 'v'}, {"port", 1, NULL, 'p'},
                                            {"ca", 1, NULL, 'a'},      {"cert", 1, NULL, 'c'},
                                            {"key", 1, NULL, 'k'},     {"id", 1, NULL, 'i'},
                                            {"qos", 1, NULL, 'q'},     {"topic", 1, NULL, 't'},
                                            {"file", 1, NULL, 'f'},    {NULL, 0, NULL, 0}};
    MQTTClient_createOptions create = MQTTClient_createOptions_initializer;
    struct wanted w = {0};
    MQTTClient client;
    char uri[64];
    int letter;

    while ((letter = getopt_long(argc, argv, "", options, NULL)) != -1) {
        const char **member = letter == 'v'   ? &w.version
                              : letter == 'p' ? &w.port
                              : letter == 'a' ? &w.ca
                              : letter == 'c' ? &w.cert
                              : letter == 'k' ? &w.key
                              : letter == 'i' ? &w.id
                              : letter == 'q' ? &w.qos
                              : letter == 't' ? &w.topic
                                              : &w.file;

        *member = optarg;
    }
    snprintf(uri, sizeof uri, "ssl://127.0.0.1:%s", w.port);
    create.MQTTVersion = strcmp(w.version, "5") == 0 ? MQTTVERSION_5 : MQTTVERSION_3_1_1;
    if (MQTTClient_createWithOptions(&client, uri, w.id, MQTTCLIENT_PERSISTENCE_NONE, NULL,
                                     &create) != MQTTCLIENT_SUCCESS)
        return 1;
    MQTTClient_setCallbacks(client, NULL, on_lost, on_message, NULL);
    MQTTClient_setPublished(client, NULL, on_published);
    if (connect_client(client, &w) != 0)
        return say("CLOSED");
    if (strcmp(argv[optind], "sub") == 0)
        subscribe(client, &w);
    return publish(client, &w);
}
