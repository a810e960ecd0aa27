// Draws the OpenAPI document that the page names. The validator of Swagger is off: it would ask another host.
SwaggerUIBundle({
  url: document.currentScript.dataset.document,
  dom_id: "#operations",
  deepLinking: true,
  docExpansion: "list",
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  persistAuthorization: false,
  validatorUrl: null,
});
