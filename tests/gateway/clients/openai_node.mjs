// OpenAI's client for Node, through the gateway: URL and key come as arguments, what was said goes out as JSON.
import OpenAI from "openai";

const [baseURL, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey });
const messages = [{ role: "user", content: "Say hello." }];
const tools = [{ type: "function", function: { name: "weather", parameters: { type: "object", properties: {} } } }];

const whole = await client.chat.completions.create({ model: "smollm2", messages, max_tokens: 6, ignore_eos: true });

const chunks = [];
const asked = { model: "smollm2", messages, max_tokens: 6, ignore_eos: true, stream: true };
for await (const chunk of await client.chat.completions.create({ ...asked, stream_options: { include_usage: true } })) {
  chunks.push(chunk);
}

const called = await client.chat.completions.stream({ model: "tool-caller", messages, tools }).finalChatCompletion();
const embedded = await client.embeddings.create({ model: "smollm2:fast", input: "a cat" });
const refused = await client.chat.completions.create({ model: "nobody", messages }).catch((error) => error);

console.log(
  JSON.stringify({
    tokens: whole.usage.completion_tokens,
    system: whole.energy.system,
    streamed: chunks.at(-1).usage.completion_tokens,
    energy: chunks.at(-1).energy.energy_joules,
    arguments: called.choices[0].message.tool_calls[0].function.arguments,
    width: embedded.data[0].embedding.length,
    error: [refused.constructor.name, refused.status, refused.code],
  }),
);
