// Swagger UI, but "Try it out" fills in ids that only this service knows: where a link of the
// document says which list has them, the first one of that list is shown in its field. And examples
// of lines of JSON stay lines: Swagger UI takes them for JSON, and would send them as one string.
"use strict";
{
  const FIRST = { limit: 1 };
  const EXPRESSION = /\{?\$response\.body#((?:\/[^/{}]+)+)\}?/;

  // The link to an operation, and the path of the list that it comes from.
  function linkTo(operationId, paths) {
    for (const [path, operations] of Object.entries(paths)) {
      const link = operations.get?.responses["200"]?.links?.[operationId];
      if (link) return { path, parameters: Object.entries(link.parameters) };
    }
    return null;
  }

  // What an expression of a link stands for; undefined if the answer does not have it.
  function valueOf(expression, answer) {
    const names = EXPRESSION.exec(expression)[1].slice(1).split("/");
    const found = names.reduce((part, name) => part?.[name], answer);
    return found === undefined ? undefined : expression.replace(EXPRESSION, () => String(found));
  }

  async function fill({ specSelectors, specActions, authSelectors }, place) {
    const [path, method] = place;
    const { paths } = specSelectors.specJson().toJS();
    const operation = paths[path][method];
    const link = linkTo(operation.operationId, paths);
    if (!link) return;
    const headers = {};
    const key = authSelectors.authorized().getIn(["HTTPBearer", "value"]);
    if (key) headers.Authorization = `Bearer ${key}`;
    const response = await fetch(`${link.path}?${new URLSearchParams(FIRST)}`, { headers });
    if (!response.ok) return; // "Execute" will say why
    const answer = await response.json();
    for (const [name, expression] of link.parameters) {
      const parameter = operation.parameters.find((each) => each.name === name);
      const value = valueOf(expression, answer);
      if (parameter && value !== undefined) {
        specActions.changeParam(place, name, parameter.in, value, false);
      }
    }
  }

  const knownIds = () => ({
    wrapComponents: {
      parameters: (Original, system) => (props) =>
        system.React.createElement(Original, {
          ...props,
          onTryoutClick: (...event) => {
            void fill(system, props.pathMethod);
            props.onTryoutClick(...event);
          },
        }),
    },
  });

  const lines = () => ({
    afterLoad() {
      const sampled = this.fn.getSampleSchema;
      this.fn.getSampleSchema = (schema, type, options, example) =>
        String(type).includes("ndjson") && typeof example === "string"
          ? example
          : sampled(schema, type, options, example);
    },
  });

  const bundle = window.SwaggerUIBundle;
  window.SwaggerUIBundle = Object.assign(
    (options) => bundle({ ...options, plugins: [...(options.plugins ?? []), knownIds, lines] }),
    bundle,
  );
}
